"""Checks of what layers read."""

from collections.abc import Iterator, Sequence

from systolith.network._fields import Fields, is_name, repr_of
from systolith.network.numbers import ActType, Requantize
from systolith.network.tensor import Shape, is_shape

__all__ = ["check_pair", "finish", "pair_problems", "shape_problems"]


def finish(fields: Fields, name: object) -> None:
    """Raise an error with all problems, prefixed with the layer's name."""
    fields.finish(f"layer '{name}': " if is_name(name) else f"layer {repr_of(name)}: ")


def shape_problems(names: Sequence[str], shapes: Sequence[Shape]) -> list[str]:
    """Check that each input has a valid shape."""
    if len(shapes) != len(names):
        return [f"reads {len(names)} tensors, got {len(shapes)} shapes"]
    return [
        f"shapes are (C, H, W) or (features,), but '{name}' has {repr_of(shape)}"
        for name, shape in zip(names, shapes, strict=True)
        if not is_shape(shape)
    ]


def check_pair(fields: Fields, layer: object, given: object) -> None:
    """Check the names of two inputs, and make them a tuple."""
    if (
        isinstance(given, tuple | list)
        and len(given) == 2
        and all(isinstance(name, str) for name in given)
    ):
        object.__setattr__(layer, "inputs", tuple(given))
    else:
        fields.problems.append(f"inputs must be the names of two layers, got {repr_of(given)}")


def pair_problems(
    names: Sequence[str],
    shapes: Sequence[Shape],
    does: str,
    requantize: Requantize,
    output: ActType,
) -> Iterator[str]:
    """Check that two inputs have one valid shape, and that the requantization fits it.

    `does` says what the layer does with them.
    """
    if unfit := shape_problems(names, shapes):
        yield from unfit
        return
    if shapes[0] != shapes[1]:
        yield (
            f"{does} tensors of equal shape, but '{names[0]}' has {shapes[0]} "
            f"and '{names[1]}' has {shapes[1]}"
        )
    yield from requantize.problems(shapes[0][0], output)
