"""From the names in an experiment file to models and data sets."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from systolith.data import Dataset, load_digits
from systolith.models import DigitsCNN, TinyResNet
from systolith.steps.errors import UsageError

__all__ = ["make_data", "make_model"]

MODELS: Mapping[str, Callable[[int], nn.Module]] = {
    "digits_cnn": lambda seed: DigitsCNN(seed=seed),
    "tiny_resnet": lambda seed: TinyResNet(seed=seed),
}
DATA: Mapping[str, Callable[[int], Dataset]] = {"digits": load_digits}


def make_model(factory: str, seed: int, folder: Path) -> nn.Module:
    """Make a fresh network.

    Parameters
    ----------
    factory : str
        Name of an example network, or ``module:callable``, which is called without arguments.
    seed : int
        Of the initial weights.
    folder : Path
        Where modules are looked for besides the installed ones.

    Raises
    ------
    UsageError
        If there is no such factory, or it makes something else.
    """
    if factory in MODELS:
        return MODELS[factory](seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _find(factory, "model", MODELS, folder)()
    if not isinstance(model, nn.Module):
        raise UsageError(f"model.factory '{factory}' must make an nn.Module, got {type(model)}")
    return model


def make_data(factory: str, seed: int, folder: Path) -> Dataset:
    """Load a data set; as :func:`make_model`, and the seed decides on what is held out."""
    if factory in DATA:
        return DATA[factory](seed)
    data = _find(factory, "data", DATA, folder)()
    if not isinstance(data, Dataset):
        raise UsageError(
            f"data.factory '{factory}' must make a systolith.data.Dataset, got {type(data)}"
        )
    return data


def _find(
    factory: str, section: str, known: Mapping[str, object], folder: Path
) -> Callable[[], Any]:
    module, _, name = factory.partition(":")
    if not name:
        raise UsageError(
            f"{section}.factory must be one of {', '.join(known)}, or 'module:callable', "
            f"got '{factory}'"
        )
    search = [str(folder.resolve())]
    sys.path[:0] = search
    try:
        found: Callable[[], Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{section}.factory '{factory}' cannot be found: {error}") from error
    finally:
        del sys.path[: len(search)]
    return found
