"""`python -m model_export`."""

from model_export.cli import main

if __name__ == "__main__":
    main(prog_name="python -m model_export")
