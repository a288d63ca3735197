"""The command ``systolith doctor``."""

import json
from dataclasses import asdict

import typer
from rich.table import Table

from systolith.cli.options import Json
from systolith.cli.terminal import out

__all__ = ["doctor"]


def doctor(as_json: Json = False) -> None:
    """Say what this machine has of what systolith needs. Exit 1 if something is missing."""
    from systolith.cli.diagnosis import diagnose

    checks = diagnose()
    if as_json:
        print(json.dumps([asdict(check) | {"passed": check.passed} for check in checks], indent=1))
    else:
        table = Table(title="systolith doctor", title_justify="left")
        for column in ("what", "found", "for, or how to get it"):
            table.add_column(column, overflow="fold")
        for check in checks:
            missing = "[red]missing[/]" if check.required else "[yellow]missing (optional)[/]"
            table.add_row(check.name, check.found or missing, check.purpose)
        out.print(table)
    raise typer.Exit(0 if all(check.passed for check in checks) else 1)
