"""Experiment files of the zoo's networks, to train them on data of one's own."""

import io
from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from systolith.zoo.entries import ZooEntry
from systolith.zoo.making import ZooNetwork

__all__ = ["EXPERIMENT", "experiment_files"]

EXPERIMENT = "experiment.toml"
MODEL, DATA, WEIGHTS = "model.py", "data.npz", "weights.safetensors"
IMAGES = {"train": 64, "test": 16}
"""Random inputs of each part of the data."""
KEPT, GROUP = 2, 8
"""Weights that are kept of each group."""


def experiment_files(made: ZooNetwork, device: str, seed: int = 0) -> dict[str, bytes]:
    """Write an experiment as files that belong into one folder.

    Parameters
    ----------
    made : ZooNetwork
    device : str
        For which engines are planned.
    seed : int
        Of weights, and of the noise that stands for data.

    Returns
    -------
    dict of str to bytes
        Contents by file name: the experiment, the function that makes the model, noise in place of
        data, and the weights of the network.
    """
    entry = made.entry
    files = {
        EXPERIMENT: "\n".join(_experiment(made, device, seed)).encode() + b"\n",
        MODEL: "\n".join(_model(entry)).encode() + b"\n",
    }
    if not entry.trains_on:
        files[DATA] = _noise(entry, seed)
    if made.weights:
        files[WEIGHTS] = safetensors.torch.save(dict(made.weights))
    return files


def _experiment(made: ZooNetwork, device: str, seed: int) -> Iterator[str]:
    entry = made.entry
    yield f"# {entry.name}: {entry.task}. Trains, prunes, quantizes and verifies the network:"
    yield f"#     systolith run {EXPERIMENT}"
    yield f'name = "{entry.name}"'
    yield f"seed = {seed}"
    yield ""
    yield "[model]"
    yield f'factory = "{MODEL.removesuffix(".py")}:make_model"        # in {MODEL}, for other sizes'
    if made.weights:
        what = "trained" if entry.trains_on else "random, with statistics of random inputs"
        yield f'weights = "{WEIGHTS}"    # {what}; optional'
    yield ""
    yield "[data]"
    if entry.trains_on:
        yield f'factory = "{entry.trains_on}"                  # bundled; "arrays" for your own'
    else:
        yield f"# {DATA} has noise, for a first run: replace it by arrays of yours, named"
        yield from (f"# {line}" for line in _arrays(entry))
        yield 'factory = "arrays"'
        yield f'path = "{DATA}"'
        if entry.targets != "classes":
            yield f'targets = "{entry.targets}"'
    yield ""
    yield "[train]                             # epochs of each phase; more for real data"
    yield f"float_epochs = {0 if entry.trains_on else 4}"
    yield "prune_epochs = 2"
    yield "quantize_epochs = 2"
    yield ""
    if layers := _prunable(entry.make_model()):
        yield "[[prune]]                           # without this step the network stays dense"
        yield 'method = "sr-ste"'
        yield f"rules = [                           # exactly {KEPT} of every {GROUP} weights stay"
        yield from (f"    {{ layers = '{name}', k = {KEPT}, n = {GROUP} }}," for name in layers)
        yield "]"
        yield ""
    yield "[quantize]"
    yield f"weight_bits = {entry.weight_bits}"
    yield "act_bits = 8"
    yield ""
    yield "[hardware]"
    yield f'device = "{device}"'
    yield ""
    yield "[verify]"
    yield "images = 2                          # with cocotb, under stalls, every stream compared"
    yield "per_layer = false"
    yield ""
    yield "[simulate]"
    yield f'images = {IMAGES["test"]}                         # or "all"'


def _arrays(entry: ZooEntry) -> Iterator[str]:
    """Describe the arrays that training and evaluation read."""
    shape = ", ".join(map(str, entry.shape))
    yield f"train_x, test_x: numbers of shape (N, {shape}); uint8 is divided by 255"
    match entry.targets:
        case "classes":
            yield "train_y, test_y: the class of each, integers of shape (N,), from 0"
        case "pixel-classes":
            pixels = ", ".join(map(str, entry.shape[1:]))
            yield f"train_y, test_y: the class of each pixel, integers, (N, {pixels}), from 0"
        case "values":
            wanted = ", ".join(map(str, _output_shape(entry)))
            yield f"train_y, test_y: what the network shall give, numbers of shape (N, {wanted})"
        case "input":
            yield "test_y, if known: 1 for anomalies and 0 for normal inputs, (N,)"


def _output_shape(entry: ZooEntry) -> tuple[int, ...]:
    model = entry.make_model().eval()
    with torch.no_grad():
        return tuple(model(torch.zeros(1, *entry.shape)).shape[1:])


def _model(entry: ZooEntry) -> Iterator[str]:
    parameters = signature(getattr(import_module("systolith.models"), entry.model)).parameters
    given = {name: one.default for name, one in parameters.items()} | dict(entry.arguments)
    arguments = [f"{name}={value!r}" for name, value in given.items() if name != "seed"]
    yield f'"""The model of {entry.name}; its arguments, or all of it, can be changed here."""'
    yield ""
    yield f"from systolith.models import {entry.model}"
    yield ""
    yield ""
    yield f"def make_model(seed: int = 0) -> {entry.model}:"
    yield '    """Make the model, with fresh weights."""'
    yield f"    return {entry.model}({', '.join([*arguments, 'seed=seed'])})"


def _noise(entry: ZooEntry, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for part, count in IMAGES.items():
        arrays[f"{part}_x"] = rng.integers(0, 256, (count, *entry.shape), dtype=np.uint8)
        match entry.targets:
            case "classes":
                arrays[f"{part}_y"] = rng.integers(0, entry.classes, count)
            case "pixel-classes":
                arrays[f"{part}_y"] = rng.integers(0, entry.classes, (count, *entry.shape[1:]))
            case "values":
                shape = (count, *_output_shape(entry))
                arrays[f"{part}_y"] = rng.integers(0, 256, shape, dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _prunable(model: nn.Module) -> list[str]:
    """Names of layers whose input channels are groups, without the first; linear layers of MLPs."""
    modules = dict(model.named_modules())
    convolutions = [
        name
        for name, module in modules.items()
        if isinstance(module, nn.Conv1d | nn.Conv2d)
        and module.groups == 1
        and module.in_channels % GROUP == 0
    ]
    linear = [
        name
        for name, module in modules.items()
        if isinstance(module, nn.Linear) and module.in_features % GROUP == 0
    ]
    return convolutions or linear[1:]
