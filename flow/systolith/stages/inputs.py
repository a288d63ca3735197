"""What a stage's result depends on, by kind and name, and what has changed since it ran."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Inputs", "changes", "flat", "joined"]

Inputs = Mapping[str, Mapping[str, Any]]
"""JSON values by kind, then by name: settings, and digests of what is too large to keep."""

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
"""What to call a kind whose values are digests; other kinds are settings and versions."""
MOST_NAMES = 3


def joined(*parts: Inputs) -> dict[str, dict[str, Any]]:
    """Put inputs together."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for kind, values in part.items():
            found.setdefault(kind, {}).update(values)
    return found


def flat(name: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name each value as the file does: ``quantize.layers.conv1.act_bits``; none that is None."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flat(f"{name}.{key}", value)
        elif value is not None:
            yield f"{name}.{key}", value


def changes(before: Inputs, now: Inputs) -> Iterator[str]:
    """Say what differs, in words: ``source changed: mymodel.py``."""
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
