"""The command line."""

from systolith.cli.app import app, main

__all__ = ["app", "main"]
