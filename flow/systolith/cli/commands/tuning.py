"""The commands ``systolith tune`` and ``systolith tune pick``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from systolith.cli.options import MOST_JOBS, Config, Json, SamplerLabel

__all__ = ["tune"]


class _SearchByDefault(TyperGroup):
    """A group that runs ``search`` if the first argument is not the name of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["search", *args]
        return super().parse_args(ctx, args)


tune = typer.Typer(
    cls=_SearchByDefault,
    help="Search patterns, widths and hardware together: systolith tune CONFIG.toml.",
    no_args_is_help=True,
)


@tune.command()
def search(
    config: Config,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder. Default: out/NAME.")
    ] = None,
    points: Annotated[
        int | None, typer.Option(min=1, help="Points to train, instead of the file's.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Time to search, instead of the file's.")
    ] = None,
    sampler: Annotated[
        SamplerLabel | None, typer.Option(help="Who proposes points, instead of the file's.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the sampler, instead of the file's.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_JOBS, help="Points trained at once. Default: one per core."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Dask scheduler whose workers train, such as tcp://.."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Optuna's store. Default: SQLite in the folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Search, or go on with a search: what was trained is cached.

    Writes study.json and index.html into the folder: open it, choose a design, and take it on with
    `systolith tune pick`.
    """
    from systolith.cli.commands.searching import search_designs

    given = {"points": points, "minutes": minutes, "sampler": sampler, "seed": seed}
    search_designs(
        config,
        output,
        {key: value for key, value in given.items() if value is not None},
        jobs=jobs,
        scheduler=scheduler,
        storage=storage,
        as_json=as_json,
    )


@tune.command()
def pick(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of a search.")],
    design: Annotated[
        str,
        typer.Argument(help="A design's number, or an objective: the best of the front by it."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: NAME_NUMBER.toml.")
    ] = None,
    no_build: Annotated[
        bool, typer.Option("--no-build", help="Stop at verified RTL: no bitstream.")
    ] = False,
) -> None:
    """Write a design's experiment file, for `systolith run` to train in full, verify and build."""
    from systolith.cli.commands.searching import pick_design

    pick_design(folder, design, output, build=not no_build)
