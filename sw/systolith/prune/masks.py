"""Masks by parameter name: the whole state of pruning, and the only code that changes a model."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from systolith.foundation import replacing
from systolith.network import NetworkError, Pattern, decode_pattern, encode_pattern
from systolith.prune.decisions import weight_shape
from systolith.prune.errors import PruneError
from systolith.prune.filters_first import as_stored, filters_first, owner_of

__all__ = ["MaskSet"]

PATTERNS = "patterns"


class MaskSet(Mapping[str, Tensor]):
    """Masks by parameter name, each conforming exactly to its pattern.

    Parameters
    ----------
    masks : mapping of str to Tensor of bool
        By qualified parameter name, such as ``"conv2.weight"``; True keeps. Shape of the parameter,
        with filters first: those of transposed convolutions, too, are (F, C/groups, Kh, Kw).
    patterns : mapping of str to Pattern
        By the same names.

    Raises
    ------
    PruneError
        If a mask has no pattern, is not boolean, or breaks its pattern; each violation is listed
        with filter, group and count.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> masks = MaskSet({"weight": torch.tensor([[True, True]])}, {"weight": Pattern()})
    >>> masks.density
    1.0
    """

    def __init__(self, masks: Mapping[str, Tensor], patterns: Mapping[str, Pattern]) -> None:
        self._masks = {name: mask.detach().clone() for name, mask in masks.items()}
        self._patterns = dict(patterns)
        if problems := list(self._problems()):
            raise PruneError(problems)

    @classmethod
    def unchecked(cls, masks: Mapping[str, Tensor], patterns: Mapping[str, Pattern]) -> "MaskSet":
        """Hold masks that conform by construction, without checks and copies.

        Meant for masks that are computed at each step of training, for example by
        :func:`topk_mask`.
        """
        self = cls.__new__(cls)
        self._masks, self._patterns = dict(masks), dict(patterns)
        return self

    def save(self, path: Path) -> None:
        """Write masks and patterns to one safetensors file, whole or not at all."""
        patterns = {name: encode_pattern(pattern) for name, pattern in self._patterns.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        masks = {name: mask.cpu().contiguous() for name, mask in self._masks.items()}
        content = save(masks, metadata={PATTERNS: json.dumps(patterns)})
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def load(cls, path: Path) -> "MaskSet":
        """Read what :meth:`save` wrote, and check every mask.

        Raises
        ------
        PruneError
            If the file is missing, damaged or of another kind, or masks break their patterns.
        """
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
                masks = {name: file.get_tensor(name) for name in names}
                encoded = json.loads((file.metadata() or {})[PATTERNS])
            patterns = {name: decode_pattern(value) for name, value in encoded.items()}
        except NetworkError as error:
            raise PruneError(
                [f"masks '{path}': {problem}" for problem in error.problems]
            ) from error
        except (OSError, SafetensorError, KeyError, ValueError, AttributeError) as error:
            raise PruneError([f"masks '{path}' cannot be read: {error}"]) from error
        return cls(masks, patterns)

    def _problems(self) -> Iterator[str]:
        for name in sorted(self._masks.keys() ^ self._patterns.keys()):
            missing = "pattern" if name in self._masks else "mask"
            yield f"'{name}' needs a mask and a pattern, but has no {missing}"
        for name in sorted(self._masks.keys() & self._patterns.keys()):
            mask, pattern = self._masks[name], self._patterns[name]
            if mask.dtype != torch.bool:
                yield f"mask of '{name}' must be bool, got {mask.dtype}"
                continue
            shape = weight_shape(mask)
            problems = list(pattern.problems(shape))
            problems = problems or list(pattern.violations(mask.cpu().numpy().reshape(shape)))
            yield from (f"mask of '{name}': {problem}" for problem in problems)

    def __getitem__(self, name: str) -> Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def patterns(self) -> Mapping[str, Pattern]:
        """Patterns by parameter name."""
        return MappingProxyType(self._patterns)

    @property
    def density(self) -> float:
        """Kept share of the masked parameters' weights; 1 without masks."""
        total = sum(mask.numel() for mask in self._masks.values())
        kept = sum(int(mask.sum()) for mask in self._masks.values())
        return kept / total if total else 1.0

    def apply_(self, model: nn.Module) -> None:
        """Set the model's pruned weights to zero, in place.

        Raises
        ------
        PruneError
            If a parameter is missing or has another shape; the model is then unchanged.
        """
        parameters = dict(model.named_parameters())
        if problems := list(self._misfits(model, parameters)):
            raise PruneError(problems)
        with torch.no_grad():
            for name, mask in self.as_stored(model).items():
                parameters[name].masked_fill_(~mask, 0.0)

    def as_stored(self, model: nn.Module) -> dict[str, Tensor]:
        """Return masks in the shape, and on the device, of the model's parameters."""
        return {
            name: as_stored(mask, owner_of(model, name)).to(model.get_parameter(name).device)
            for name, mask in self._masks.items()
        }

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Apply the masks inside a ``with`` block, and restore the dense weights after it.

        Raises
        ------
        PruneError
            As :meth:`apply_`.
        """
        dense = {
            name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
            if name in self._masks
        }
        self.apply_(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in dense.items():
                    model.get_parameter(name).copy_(weight)

    def _misfits(self, model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> Iterator[str]:
        for name, mask in self._masks.items():
            if name not in parameters:
                yield f"masks must name a parameter of the model, got '{name}'"
                continue
            shape = tuple(filters_first(parameters[name], owner_of(model, name)).shape)
            if shape != tuple(mask.shape):
                yield (
                    f"mask of '{name}' must have the parameter's shape {shape}, "
                    f"got {tuple(mask.shape)}"
                )
