"""All mistakes of an experiment file in the user's terms, including those that others hide.

Pydantic checks whether the keys of a section agree only if each key is valid by itself. So wrong
keys are removed, and the rest is checked again.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from systolith.foundation import ProblemsError, listed

__all__ = ["ConfigError", "collect_errors", "describe_errors"]

ROUNDS = 8
PLACEHOLDERS: Mapping[str, Any] = {"model": {"factory": ""}, "data": {"factory": ""}}
"""Values for missing sections; any other missing key becomes a word."""


class ConfigError(ProblemsError, ValueError):
    """An experiment file with mistakes.

    Attributes
    ----------
    path : Path
        The file.
    problems : tuple of str
        Each names a key, the requirement, and the given value.
    valid : mapping or None
        Content without the wrong keys; None if it cannot be valid without them.
    """

    def __init__(
        self, path: Path, problems: Sequence[str], valid: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(problems)
        self.path, self.valid = path, valid
        self.args = (path, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        return listed(f"{self.path}: {count} mistake{'s' * (count > 1)}", self.problems)


def collect_errors(
    section: type[BaseModel], content: Mapping[str, Any], first: ValidationError
) -> tuple[list[ErrorDetails], Mapping[str, Any] | None]:
    """Collect the errors of a file in several rounds.

    Parameters
    ----------
    section : type
        Section that describes the whole file.
    content : mapping
        Content of the file.
    first : ValidationError
        Errors of the first round. Later errors about removed keys are dropped.

    Returns
    -------
    errors : list of ErrorDetails
    valid : mapping or None
        Content without the wrong keys; None if it cannot be valid without them.
    """
    collected = list(first.errors())
    seen = {_place(error) for error in collected}
    repaired: dict[tuple[int | str, ...], set[str]] = {}
    rest: Any = copy.deepcopy(dict(content))
    errors = collected
    for _ in range(ROUNDS):
        for detail in errors:
            if (key := _repair(rest, detail)) is not None:
                repaired.setdefault(detail["loc"][:-1], set()).add(key)
        try:
            section.model_validate(rest)
            return collected, rest
        except ValidationError as error:
            errors = [detail for detail in error.errors() if _place(detail) not in seen]
        seen |= {_place(error) for error in errors}
        collected += [kept for detail in errors if (kept := _without(detail, repaired)) is not None]
        if not errors:
            break
    return collected, None


def _place(error: ErrorDetails) -> tuple[tuple[int | str, ...], str]:
    """Identify an error; a removed key that is now missing is the same mistake."""
    text = str(error["ctx"]["error"]) if error["type"] == "value_error" else ""
    return error["loc"], text


def _without(
    error: ErrorDetails, repaired: Mapping[tuple[int | str, ...], set[str]]
) -> ErrorDetails | None:
    """Drop everything about removed keys of its section from an error; None if nothing is left."""
    if error["type"] != "value_error":
        return None if error["loc"] in repaired else error
    keys = repaired.get(error["loc"], set())
    parts = str(error["ctx"]["error"]).split("; ")
    kept = [part for part in parts if not keys & {*re.findall(r"\w+", part)}]
    if not kept:
        return None
    return {**error, "ctx": {"error": ValueError("; ".join(kept))}}


def _repair(content: Any, error: ErrorDetails) -> str | None:
    """Remove the value at the place of an error, or add a missing one. Returns its key."""
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
    """Find the table and the key of an error; branches of a union are not keys."""
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


def describe_errors(section: type[BaseModel], details: Sequence[ErrorDetails]) -> Iterator[str]:
    """Describe each mistake in the user's terms; alternatives for one key are one mistake."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for detail in details:
        by_key.setdefault(_key(detail["loc"]), []).append(detail)
    for key, same in by_key.items():
        requirements = " or ".join(_requirement(section, detail) for detail in same)
        yield f"{key}: {requirements}{_given(same[0])}"


def _key(loc: tuple[int | str, ...]) -> str:
    """Write a location as in the file, without the branches of unions."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in _without_tags(loc))
    return "".join(part for part in parts if part not in _UNION_BRANCHES).lstrip(".")


def _without_tags(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Drop the method of a pruning step, which pydantic inserts: (prune, 0, dpp, ...)."""
    return (*loc[:2], *loc[3:]) if loc[:1] == ("prune",) and len(loc) > 2 else loc


def _requirement(section: type[BaseModel], detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key; known are {', '.join(_known_keys(section, detail['loc']))}"
        case "missing" | "union_tag_not_found":
            return "is required" if detail["type"] == "missing" else "needs a method"
        case "union_tag_invalid":
            return f"method must be one of {detail['ctx']['expected_tags']}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return detail["msg"].replace("Input should be", "must be")


def _given(detail: ErrorDetails) -> str:
    if detail["type"] in ("extra_forbidden", "missing", "value_error", "union_tag_not_found"):
        return ""
    if detail["type"] == "union_tag_invalid":
        return f", got '{detail['ctx']['tag']}'"
    return f", got {detail['input']!r}"


_UNION_BRANCHES = (".constrained-int", ".literal['all']")


def _known_keys(whole: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """List the keys of the section with an unknown key."""
    section: Any = whole
    for part in loc[:-1]:
        fields = getattr(section, "model_fields", {})
        if part in fields:
            section = _section_of(fields[part].annotation)
        elif (tagged := _tagged(section, part)) is not None:
            section = tagged
    return sorted(section.model_fields)


def _section_of(annotation: Any) -> Any:
    """Find the section, or the union of sections, in an annotation like ``dict[str, Section]``."""
    for argument in get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument
        if get_args(argument):
            return _section_of(argument) if _tagged(argument, None) is None else argument
    return annotation


def _tagged(union: Any, tag: int | str | None) -> Any:
    """Find the section of a method, or any section of the union if the tag is None."""
    for section in get_args(union):
        for inner in (section, *get_args(section)):
            method = getattr(inner, "model_fields", {}).get("method")
            if method is not None and (tag is None or tag in get_args(method.annotation)):
                return inner
    return None
