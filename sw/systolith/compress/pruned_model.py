"""Pruned and quantized models, and their files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from systolith.data import Dataset
from systolith.foundation import replacing
from systolith.prune import FilterMasks, MaskSet, find_channel_groups, remove_filters
from systolith.quant import LayerBits, QuantConfig, QuantizedModel, prepare
from systolith.train import save_tensors

__all__ = ["PrunedModel", "load_pruned", "load_quantized", "save_pruned", "save_quantized"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrunedModel:
    """A model after pruning.

    Parameters
    ----------
    model : nn.Module
        Without the removed filters; masked weights are zero.
    masks : MaskSet
        Masks of the model's weights; empty if weights were not masked, or will be during quantized
        training.
    filters : tuple of FilterMasks
        Masks of removed filters in the order in which they were applied, each to the model that the
        previous one had left.
    bits : mapping of str to LayerBits
        Bit widths that were learned with the masks, by layer.
    history : sequence of mapping
        Confidence and diversity of masks after each epoch, for methods that have them.
    """

    model: nn.Module
    masks: MaskSet = field(default_factory=lambda: MaskSet({}, {}))
    filters: tuple[FilterMasks, ...] = ()
    bits: Mapping[str, LayerBits] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()

    def config(self, bits: QuantConfig) -> QuantConfig:
        """Return `bits` with the learned widths for the layers that it does not name."""
        return replace(bits, layers=dict(_merge(self.bits, bits.layers)))

    def move(self, device: torch.device) -> "PrunedModel":
        """Return it with the model, which is moved in place, and all masks on a device."""
        masks = {name: mask.to(device) for name, mask in self.masks.items()}
        filters = tuple(
            FilterMasks({name: mask.to(device) for name, mask in kept.items()}, kept.groups)
            for kept in self.filters
        )
        model = self.model.to(device)
        return replace(
            self, model=model, masks=MaskSet(masks, self.masks.patterns), filters=filters
        )


def save_pruned(pruned: PrunedModel, folder: Path) -> None:
    """Write weights, masks, filters, widths and history."""
    save_tensors(pruned.model.state_dict(), folder / "weights.safetensors")
    pruned.masks.save(folder / "masks.safetensors")
    widths = {name: asdict(bits) for name, bits in pruned.bits.items()}
    _write_json(folder / "bits.json", widths)
    _write_json(folder / "odds.json", pruned.history)
    for old in folder.glob("filters-*.safetensors"):
        old.unlink()
    for i, filters in enumerate(pruned.filters):
        save_tensors(dict(filters), folder / f"filters-{i}.safetensors")


def load_pruned(fresh: nn.Module, data: Dataset, folder: Path) -> PrunedModel:
    """Read what :func:`save_pruned` wrote.

    Parameters
    ----------
    fresh : nn.Module
        The model as it was before pruning; its weights do not matter.
    data : Dataset
    folder : Path
    """
    model, filters = fresh, []
    for path in sorted(folder.glob("filters-*.safetensors")):
        groups = find_channel_groups(model, data.train_images[:1])
        filters.append(FilterMasks(load_file(path), groups))
        model = remove_filters(model, filters[-1], data.train_images[:1])
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    masks = MaskSet.load(folder / "masks.safetensors")
    widths = json.loads((folder / "bits.json").read_text())
    bits = {name: LayerBits(**layer) for name, layer in widths.items()}
    return PrunedModel(model=model.eval(), masks=masks, filters=tuple(filters), bits=bits)


def save_quantized(quantized: QuantizedModel, folder: Path) -> None:
    """Write weights, quantizer steps and masks."""
    save_tensors(quantized.state_dict(), folder / "weights.safetensors")
    quantized.masks().save(folder / "masks.safetensors")


def load_quantized(
    pruned: PrunedModel, data: Dataset, bits: QuantConfig, folder: Path
) -> QuantizedModel:
    """Read what :func:`save_quantized` wrote, given what the model was quantized from."""
    quantized = prepare(pruned.model, data.calibration_images, pruned.config(bits))
    quantized.load_state_dict(load_file(folder / "weights.safetensors"))
    quantized.freeze_masks_(MaskSet.load(folder / "masks.safetensors"))
    return quantized.eval()


def _merge(
    learned: Mapping[str, LayerBits], given: Mapping[str, LayerBits]
) -> Iterator[tuple[str, LayerBits]]:
    """Yield widths by layer; a layer may be given by its qualified or its readable name."""
    for name, bits in learned.items():
        if name not in given and name.replace(".", "_") not in given:
            yield name, bits
    yield from given.items()


def _write_json(path: Path, content: object) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
