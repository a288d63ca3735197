"""Patterns that may not fit their layers once filters have left; how many is not known yet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from systolith.compress.methods import FilterPruning, FilterRemoval
from systolith.network import Dense, KOutOfN, Pattern
from systolith.prune import ChannelGroup, StridedPattern, prunable_layers
from systolith.prune.filters_first import filter_weights

__all__ = ["Misfit", "find_misfits"]


@dataclass(frozen=True, slots=True)
class Misfit:
    """A pattern that may not fit a layer once filters are removed.

    Attributes
    ----------
    text : str
    certain : bool
        Whether it does not fit, whatever the methods remove.
    remedy : str
        Empty if there is none.
    """

    text: str
    certain: bool
    remedy: str = ""


def find_misfits(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    removals: Sequence[FilterRemoval],
    patterns: Mapping[str, Pattern | StridedPattern],
) -> Iterator[Misfit]:
    """Find patterns that may not fit what methods leave.

    Parameters
    ----------
    model : nn.Module
        Before filters are removed.
    groups : sequence of ChannelGroup
        Of the model.
    removals : sequence of FilterRemoval
        Methods that remove filters, in their order.
    patterns : mapping of str to Pattern or StridedPattern
        By layer name, for what they leave.
    """
    portions = [_portion(removal) for removal in removals]
    methods = " and ".join(dict.fromkeys(removal.method for removal in removals))
    for name, layer in prunable_layers(model).items():
        select = patterns[name].select if name in patterns else Dense()
        if isinstance(select, Dense) or getattr(layer, "groups", 1) != 1:
            continue
        filters, channels = filter_weights(layer).shape[:2]
        read = [(group, group.inputs.get(name, ())) for group in groups]
        made = [(group, group.outputs.get(name, ())) for group in groups]
        needs = [("filters", select.shared_by, filters, made)]
        if isinstance(select, KOutOfN):
            axis = "in_channels" if layer.weight.ndim > 2 else "in_features"
            needs.append((axis, select.n, channels, read))
        for axis, divisor, size, parts in needs:
            left = _remainders(size, parts, portions, divisor)
            if left == {0}:
                continue
            fixed = isinstance(removals[-1], FilterPruning) and _remainders(
                size, parts, [*portions[:-1], divisor], divisor
            ) == {0}
            yield Misfit(
                f"{select} of layer '{name}' needs {axis} divisible by {divisor}, but {methods} "
                f"{'leaves' if 0 not in left else 'may leave'} another number of its {size}",
                certain=0 not in left,
                remedy=f"set multiple_of = {divisor} in the step before" if fixed else "",
            )


def _portion(removal: FilterRemoval) -> int:
    return removal.multiple_of if isinstance(removal, FilterPruning) else 1


def _remainders(
    size: int,
    parts: Sequence[tuple[ChannelGroup, Sequence[int]]],
    portions: Sequence[int],
    divisor: int,
) -> set[int]:
    """Remainders that the number of channels may have when divided by `divisor`.

    Each removal keeps a multiple of its portion of every group, or the whole group.
    """
    fixed, sums = size, {0}
    for group, units in parts:
        here = sum(unit >= 0 for unit in units)
        if not here or not group.removable:
            continue
        fixed -= here
        kept = {group.size}
        for portion in portions:
            kept |= {number for most in kept for number in range(portion, most, portion)}
        added = {number * here // group.size % divisor for number in kept}
        sums = {(one + other) % divisor for one in sums for other in added}
    return {(fixed + one) % divisor for one in sums}
