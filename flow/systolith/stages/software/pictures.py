"""Pictures of a pruned model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from systolith.prune import FilterMasks, MaskSet, prunable_layers
from systolith.report import draw_density, draw_filters, draw_mask, draw_statistics

__all__ = ["draw_pruned"]


def draw_pruned(
    before: nn.Module,
    after: nn.Module,
    masks: MaskSet,
    filters: Sequence[FilterMasks],
    history: Sequence[Mapping[str, Any]],
    folder: Path,
) -> None:
    """Draw an overview, the mask of each layer, filters per group, and statistics over time.

    Parameters
    ----------
    before, after : nn.Module
        The model without pruning, and with filters removed.
    masks : MaskSet
        Masks of `after`.
    filters : sequence of FilterMasks
        Masks of removed filters, in the order of removal.
    history : sequence of mapping
        Confidence and diversity of masks after each epoch; empty for methods without them.
    folder : Path
        Older pictures in it are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    smaller = prunable_layers(after)
    kept = {}
    for name, layer in prunable_layers(before).items():
        mask = masks.get(f"{name}.weight")
        left = smaller[name].weight.numel() if mask is None else int(mask.sum())
        kept[name] = (left, layer.weight.numel())
    draw_density(kept, folder / "overview.png")
    for parameter, mask in masks.items():
        name = parameter.removesuffix(".weight")
        draw_mask(name, mask.cpu().numpy(), masks.patterns[parameter], folder / f"{name}.png")
    for number, step in enumerate(filters):
        counts = {name: (int(mask.sum()), len(mask)) for name, mask in step.items()}
        draw_filters(counts, folder / f"filters-{number}.png")
    if history:
        draw_statistics(history, folder / "odds.png")
