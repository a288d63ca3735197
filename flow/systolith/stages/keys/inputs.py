"""Everything that decides the result of a stage, by kind and name, and what has changed in it."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Inputs", "explain_changes", "flatten_keys", "join_inputs"]

Inputs = Mapping[str, Mapping[str, Any]]
"""JSON values by kind, then by name: settings, versions, and digests of everything larger."""

KINDS = {
    "program": "systolith",
    "source": "source",
    "weights": "weights",
    "data": "data",
    "result": "result of an earlier stage",
    "network": "network",
    "images": "images",
    "design": "design",
}
"""Words for the kinds whose values are digests; other kinds are settings and versions."""
MOST_NAMES = 3
"""Names that a reason lists."""


def join_inputs(*parts: Inputs) -> dict[str, dict[str, Any]]:
    """Merge inputs; later values replace earlier ones."""
    inputs: dict[str, dict[str, Any]] = {}
    for part in parts:
        for kind, values in part.items():
            inputs.setdefault(kind, {}).update(values)
    return inputs


def flatten_keys(name: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name each value as in ``quantize.layers.conv1.act_bits``; values that are None drop out."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flatten_keys(f"{name}.{key}", value)
        elif value is not None:
            yield f"{name}.{key}", value


def explain_changes(before: Inputs, now: Inputs) -> Iterator[str]:
    """Describe each difference in words, such as ``source changed: mymodel.py``."""
    for kind in dict.fromkeys([*now, *before]):
        old, new = before.get(kind, {}), now.get(kind, {})
        names = [name for name in dict.fromkeys([*new, *old]) if _differs(name, old, new)]
        if kind not in KINDS:
            for name in names:
                yield f"{name} changed: {_value(old, name)} -> {_value(new, name)}"
        elif names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            yield f"{KINDS[kind]} changed: {', '.join(names[:MOST_NAMES])}{more}"


def _differs(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return name not in old or name not in new or bool(old[name] != new[name])


def _value(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return "none" if value is None else str(value)
