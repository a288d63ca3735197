"""The command ``systolith init``."""

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from systolith.cli.terminal import out
from systolith.foundation import UsageError

__all__ = ["FILES", "init"]

FILES = ("experiment.toml", "my_model.py", "my_data.py")


def init(
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is not there.")] = Path(),
) -> None:
    """Write an experiment file, a model and a data loader to begin with. Overwrites nothing."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"init needs a folder, but '{folder}' is a file")
    present = [str(folder / name) for name in FILES if (folder / name).exists()]
    if present:
        raise UsageError(
            f"init overwrites nothing, but there is {', '.join(present)}; give another folder, "
            f"such as: systolith init {folder / 'new'}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    templates = files("systolith.cli") / "templates"
    written: list[Path] = []
    try:
        for name in FILES:
            with (folder / name).open("x", encoding="utf-8") as file:
                written.append(folder / name)
                file.write((templates / name).read_text(encoding="utf-8"))
    except OSError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    for path in written:
        out.print(f"wrote {path}", highlight=False, soft_wrap=True)
    where = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    out.print(f"next: {where}systolith run {FILES[0]}", highlight=False, soft_wrap=True)
