"""Commands of the software half: train, prune, quantize, lower."""

from typing import Annotated

import typer

from systolith.cli.changes import pruning_changes, training_changes
from systolith.cli.choices import METHODS
from systolith.cli.options import Config, Json, LearningRate, Output, Seed, beginning_in
from systolith.cli.running import run_stages

__all__ = ["lower", "prune", "quantize", "train"]


def train(
    config: Config,
    output: Output = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs of float training, instead of the file's.")
    ] = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Train the dense float network. Resumes after an interruption."""
    changes = training_changes(seed=seed, float_epochs=epochs, learning_rate=learning_rate)
    run_stages(config, "train", output=output, as_json=as_json, changes=changes)


def prune(
    config: Config,
    output: Output = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"Instead of the file's steps: {', '.join(METHODS)}.",
            autocompletion=beginning_in(METHODS),
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYERS=K:N", help="k out of n for matching layers; for --method, repeatable."
        ),
    ] = None,
    keep: Annotated[
        float | None, typer.Option(help="Share of filters to keep; for --method gdp and the like.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs of training while pruning.")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Train, then prune: exact masks, filters removed, pictures of what was kept: prune/."""
    changes = pruning_changes(method=method, rules=rule or [], keep=keep)
    changes |= training_changes(seed=seed, prune_epochs=epochs)
    run_stages(config, "prune", output=output, as_json=as_json, changes=changes)


def quantize(config: Config, output: Output = None, as_json: Json = False) -> None:
    """Train, prune, then train with quantized weights and activations: quantize/."""
    run_stages(config, "quantize", output=output, as_json=as_json)


def lower(config: Config, output: Output = None, as_json: Json = False) -> None:
    """Lower the trained network to integers: network.json and network.safetensors."""
    run_stages(config, "lower", output=output, as_json=as_json)
