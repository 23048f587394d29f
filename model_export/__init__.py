"""Export tool: turns a SAM checkpoint into the model folder that `sam_backend` serves.

It needs torch (`requirements-export.txt`); the service does not. The two share nothing but the model folder; only
`quantize` asks the service's own code, for it reads images and judges masks as the service does.
`python -m model_export --help` says how to use it.
"""
