"""Options of the command line as changes to an experiment file."""

from collections.abc import Sequence
from typing import Any

from systolith.cli.failures import OptionError

__all__ = ["build_changes", "hardware_changes", "pruning_changes", "training_changes"]


def training_changes(*, seed: int | None = None, **settings: float | None) -> dict[str, Any]:
    """Change the seed and the keys of ``[train]`` that are given."""
    given = {name: value for name, value in settings.items() if value is not None}
    changes: dict[str, Any] = {"train": given} if given else {}
    return changes if seed is None else changes | {"seed": seed}


def hardware_changes(**settings: str | float | None) -> dict[str, Any]:
    """Change the keys of ``[hardware]`` that are given."""
    given = {name: value for name, value in settings.items() if value is not None}
    return {"hardware": given} if given else {}


def build_changes(**settings: str | float | None) -> dict[str, Any]:
    """Change the keys of ``[build]`` that are given; engines are planned within the device."""
    given: dict[str, str | float | None] = {
        name: value for name, value in settings.items() if value is not None
    }
    if not given:
        return {}
    board = given.get("board")
    if isinstance(board, str):
        # What the file says of a device gives way to a board, and the other way round.
        given = {"device": None, "speed": None, "package": None, **given}
    elif "device" in given:
        given = {"board": None, **given}
    return {"build": given}


def pruning_changes(
    *, method: str | None, rules: Sequence[str], keep: float | None
) -> dict[str, Any]:
    """Replace the file's pruning steps by one of this method.

    Raises
    ------
    OptionError
        If there are rules or a share to keep without a method, or a rule is malformed.
    """
    if method is None:
        if rules or keep is not None:
            raise OptionError("--rule and --keep describe a step of their own: they need --method")
        return {}
    step: dict[str, Any] = {"method": method}
    if rules:
        step["rules"] = [_rule(text) for text in rules]
    if keep is not None:
        step["keep"] = keep
    return {"prune": [step]}


def _rule(text: str) -> dict[str, Any]:
    layers, _, kept = text.rpartition("=")
    k, _, n = kept.partition(":")
    if not layers or not (k.isdecimal() and n.isdecimal()):
        raise OptionError(f"--rule needs LAYERS=K:N, such as 'conv[2-9]=2:8', got '{text}'")
    return {"layers": layers, "k": int(k), "n": int(n)}
