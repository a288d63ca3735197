"""The command line: the commands of ``systolith``, their options, output and errors."""

from systolith.cli.app import app, main

__all__ = ["app", "main"]
