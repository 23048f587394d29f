"""The built-in model: a small SAM of our own, and the scenes that it learns from."""
