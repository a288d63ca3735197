"""All mistakes of a file, also those that others hide.

A section whose keys disagree is told only once each key is right by itself. So what is wrong is
taken out, and the rest is checked again.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

__all__ = ["all_errors"]

ROUNDS = 8
PLACEHOLDERS: Mapping[str, Any] = {"model": {"factory": ""}, "data": {"factory": ""}}
"""In place of what is required and missing; anything else that is required is a word."""


def all_errors(
    section: type[BaseModel], content: Mapping[str, Any], first: ValidationError
) -> list[ErrorDetails]:
    """Gather the errors of a file, round after round.

    Parameters
    ----------
    section : type
        Of the whole file.
    content : mapping
        What it says.
    first : ValidationError
        Of the first round. What later rounds say of keys that were taken out does not count.
    """
    found = list(first.errors())
    seen = {_place(error) for error in found}
    repaired: dict[tuple[int | str, ...], set[str]] = {}
    rest: Any = copy.deepcopy(dict(content))
    errors = found
    for _ in range(ROUNDS):
        for each in errors:
            if (key := _repair(rest, each)) is not None:
                repaired.setdefault(each["loc"][:-1], set()).add(key)
        try:
            section.model_validate(rest)
            break
        except ValidationError as error:
            errors = [each for each in error.errors() if _place(each) not in seen]
        seen |= {_place(error) for error in errors}
        found += [kept for each in errors if (kept := _without(each, repaired)) is not None]
        if not errors:
            break
    return found


def _place(error: ErrorDetails) -> tuple[tuple[int | str, ...], str]:
    """Tell errors apart; a key that was taken out and is now missing is the same mistake."""
    said = str(error["ctx"]["error"]) if error["type"] == "value_error" else ""
    return error["loc"], said


def _without(
    error: ErrorDetails, repaired: Mapping[tuple[int | str, ...], set[str]]
) -> ErrorDetails | None:
    """Leave out of an error what it says of keys of its section that were taken out."""
    if error["type"] != "value_error":
        return None if error["loc"] in repaired else error
    keys = repaired.get(error["loc"], set())
    parts = str(error["ctx"]["error"]).split("; ")
    kept = [part for part in parts if not keys & {*re.findall(r"\w+", part)}]
    if not kept:
        return None
    return {**error, "ctx": {"error": ValueError("; ".join(kept))}}


def _repair(content: Any, error: ErrorDetails) -> str | None:
    """Take out the value at an error's place, or put one where it is missing. Returns its key."""
    if error["type"] in ("value_error", "union_tag_not_found", "union_tag_invalid"):
        return None
    inside, key = _walk(content, error["loc"])
    if key is None:
        return None
    if error["type"] == "missing":
        if isinstance(inside, dict):
            inside[key] = copy.deepcopy(PLACEHOLDERS.get(str(key), "x"))
    elif isinstance(inside, dict):
        inside.pop(key, None)
    else:
        return None
    return str(key)


def _walk(content: Any, loc: Sequence[int | str]) -> tuple[Any, int | str | None]:
    """Find the table and the key that an error is about; names of a union's branches are none."""
    inside: Any = content
    key: Any = None
    for part in loc:
        if key is not None and isinstance(inside, dict | list):
            try:
                below = inside[key]
            except (KeyError, IndexError):
                return inside, key
            if not isinstance(below, dict | list):
                return inside, key
            if isinstance(below, dict) and (
                not isinstance(part, str) or below.get("method") == part
            ):
                continue
            if isinstance(below, list) and not isinstance(part, int):
                continue
            inside = below
        key = part
    return inside, key
