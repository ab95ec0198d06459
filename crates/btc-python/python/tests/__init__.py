"""The package's own tests: `pytest` in the folder above."""
