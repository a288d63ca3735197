"""Pruned and quantized models on disk: what training wrote, put together again."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from systolith.data import Dataset
from systolith.network import identifier
from systolith.prune import FilterMasks, MaskSet, find_channel_groups, remove_filters
from systolith.quant import LayerBits, QuantConfig, QuantizedModel, prepare
from systolith.stages.tensor_files import save_tensors
from systolith.stages.workspace import write_json

__all__ = [
    "Pruned",
    "load_pruned",
    "load_quantized",
    "save_pruned",
    "save_quantized",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pruned:
    """A model after all pruning steps.

    Attributes
    ----------
    model : nn.Module
        Without the filters that were pruned; masked weights are zero.
    filters : tuple of FilterMasks
        In the order in which they were applied, each to what the one before had left.
    masks : MaskSet
        Of the model's weights; empty if they were not masked, or will be while training quantized.
    bits : mapping of str to LayerBits
        Widths that were learned with the masks, by layer.
    """

    model: nn.Module
    filters: tuple[FilterMasks, ...]
    masks: MaskSet
    bits: Mapping[str, LayerBits] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    """Confidence and diversity of masks after each epoch, for methods that have them."""

    def config(self, given: QuantConfig) -> QuantConfig:
        """Widths to quantize with: those that were learned, but for layers that are given."""
        return replace(given, layers=dict(_together(self.bits, given.layers)))


def save_pruned(pruned: Pruned, folder: Path) -> None:
    """Write weights, masks, filters, widths and history."""
    save_tensors(pruned.model.state_dict(), folder / "weights.safetensors")
    pruned.masks.save(folder / "masks.safetensors")
    write_json(folder / "bits.json", {name: asdict(bits) for name, bits in pruned.bits.items()})
    write_json(folder / "odds.json", pruned.history)
    for old in folder.glob("filters-*.safetensors"):
        old.unlink()
    for i, filters in enumerate(pruned.filters):
        save_tensors(dict(filters), folder / f"filters-{i}.safetensors")


def load_pruned(fresh: nn.Module, data: Dataset, folder: Path) -> Pruned:
    """Read what :func:`save_pruned` wrote, given the model as it was before pruning."""
    model, filters = fresh, []
    for path in sorted(folder.glob("filters-*.safetensors")):
        groups = find_channel_groups(model, data.train_images[:1])
        filters.append(FilterMasks(load_file(path), groups))
        model = remove_filters(model, filters[-1], data.train_images[:1])
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    masks = MaskSet.load(folder / "masks.safetensors")
    widths = json.loads((folder / "bits.json").read_text())
    bits = {name: LayerBits(**layer) for name, layer in widths.items()}
    return Pruned(model=model.eval(), filters=tuple(filters), masks=masks, bits=bits)


def save_quantized(quantized: QuantizedModel, folder: Path) -> None:
    """Write weights, steps and masks."""
    save_tensors(quantized.state_dict(), folder / "weights.safetensors")
    quantized.masks().save(folder / "masks.safetensors")


def load_quantized(
    pruned: Pruned, calibration: Tensor, bits: QuantConfig, folder: Path
) -> QuantizedModel:
    """Read what :func:`save_quantized` wrote."""
    quantized = prepare(pruned.model, calibration, pruned.config(bits))
    quantized.load_state_dict(load_file(folder / "weights.safetensors"))
    quantized.freeze_masks_(MaskSet.load(folder / "masks.safetensors"))
    return quantized.eval()


def _together(
    learned: Mapping[str, LayerBits], given: Mapping[str, LayerBits]
) -> Iterator[tuple[str, LayerBits]]:
    """Widths by layer; a layer may be given under its qualified or its readable name."""
    for name, bits in learned.items():
        if name not in given and identifier(name) not in given:
            yield name, bits
    yield from given.items()
