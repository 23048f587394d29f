"""Export tool: turns a SAM checkpoint into the model folder that `sam_backend` serves.

It needs torch (`requirements-export.txt`); the service does not, and the two share nothing but the model folder.
`python -m model_export --help` says how to use it.
"""
