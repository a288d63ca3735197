"""Options of the command line as changes to an experiment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from systolith.foundation import UsageError

__all__ = [
    "Changes",
    "build_changes",
    "combine_changes",
    "image_changes",
    "pruning_changes",
    "rtl_changes",
    "section_changes",
]

Changes = Mapping[str, Any]
"""What replaces or adds to the content of an experiment file, section by section."""


def section_changes(section: str, **settings: str | float | None) -> Changes:
    """Change those keys of a section whose values are given."""
    given = {name: value for name, value in settings.items() if value is not None}
    return {section: given} if given else {}


def combine_changes(*changes: Changes) -> Changes:
    """Merge changes; keys of one section are put together."""
    combined: dict[str, Any] = {}
    for key, value in (item for change in changes for item in change.items()):
        if isinstance(value, Mapping):
            value = {**combined.get(key, {}), **value}
        combined[key] = value
    return combined


def build_changes(**settings: str | float | None) -> Changes:
    """Change keys of ``[build]``: a board replaces the file's device, and a device its board."""
    changes = section_changes("build", **settings)
    given = changes.get("build", {})
    if "board" in given:
        return {"build": {"device": None, "speed": None, "package": None, **given}}
    if "device" in given:
        return {"build": {"board": None, **given}}
    return changes


def image_changes(target: Path, images: str | None) -> Changes:
    """Change the images for verification and simulation.

    Parameters
    ----------
    target : Path
        An experiment file or a saved network.
    images : str or None
        A number of images for both; ``"all"``, which only simulation accepts; or a file or folder
        with images for a saved network.

    Raises
    ------
    UsageError
        If `images` is none of these, or names a file although the experiment has its own data.
    """
    if images is None:
        return {}
    if images == "all":
        return {"simulate": {"images": "all"}}
    if _names_file(images):
        if target.suffix == ".toml":
            raise UsageError(
                f"--images {images}: an experiment names its data itself; a number, or 'all', of "
                "these is needed"
            )
        return {"data": {"path": str(Path(images).absolute())}, "simulate": {"images": "all"}}
    count = int(images) if images.lstrip("-").isdigit() else 0
    if count < 1:
        raise UsageError(f"the number of images must be at least 1, or 'all', got {images!r}")
    return {"verify": {"images": count}, "simulate": {"images": count}}


def _names_file(images: str) -> bool:
    """Whether this names a file: it has a slash or a suffix, or exists."""
    path = Path(images)
    if images.lstrip("-").isdigit():
        return False
    return bool(path.suffix) or path.exists() or len(path.parts) > 1


def rtl_changes(rtl: Path | None) -> Changes:
    """Verify the design in a folder instead of the generated one.

    Raises
    ------
    UsageError
        If the folder has no design.
    """
    if rtl is None:
        return {}
    if not (rtl / "design.json").is_file():
        raise UsageError(f"--rtl needs a folder with a design.json, got {rtl}")
    return {"verify": {"rtl": str(rtl.absolute())}}


def pruning_changes(*, method: str | None, rules: Sequence[str], keep: float | None) -> Changes:
    """Replace the file's pruning steps by one step with a method.

    Raises
    ------
    UsageError
        If there are rules or a share to keep but no method, or if a rule is malformed.
    """
    if method is None:
        if rules or keep is not None:
            raise UsageError("--rule and --keep describe a step of their own: they need --method")
        return {}
    step: dict[str, Any] = {"method": method}
    if rules:
        step["rules"] = [_parse_rule(text) for text in rules]
    if keep is not None:
        step["keep"] = keep
    return {"prune": [step]}


def _parse_rule(text: str) -> dict[str, Any]:
    layers, _, kept = text.rpartition("=")
    k, _, n = kept.partition(":")
    if not layers or not (k.isdecimal() and n.isdecimal()):
        raise UsageError(f"--rule needs LAYERS=K:N, such as 'conv[2-9]=2:8', got '{text}'")
    return {"layers": layers, "k": int(k), "n": int(n)}
