"""Automatic mode: what a project wants, what a task asks for, its masks, and the background in which they are made."""
