"""`python -m sam_backend` is `sam-backend`."""

from sam_backend.cli import main

main()
