"""The bulk job: tasks from a source, labeled by workers, kept by a sink. Each part knows the values alone."""
