"""Where embeddings wait between clicks."""
