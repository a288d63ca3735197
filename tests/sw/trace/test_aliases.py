"""Places of tensors: by memory, or by identity where a tensor has none of its own."""

from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_map

from systolith.trace.aliases import AliasMap


class _Wrapped(Tensor):
    """Holds its values in another tensor, as quantized weights of other libraries do."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "_Wrapped":
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=values.dtype)

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def unwrap(leaf: Any) -> Any:
            return leaf.values if isinstance(leaf, _Wrapped) else leaf

        result = func(*tree_map(unwrap, args), **tree_map(unwrap, kwargs or {}))
        return tree_map(lambda leaf: _Wrapped(leaf) if isinstance(leaf, Tensor) else leaf, result)


def test_tensors_without_storage_are_known_by_identity() -> None:
    graph = fx.Graph()
    memory = AliasMap(graph)
    one, other = _Wrapped(torch.ones(2)), _Wrapped(torch.ones(2))
    node = graph.placeholder("x")
    assert not memory.knows(one)
    memory.write(one, node)
    assert memory.knows(one) and not memory.knows(other)
    assert memory.is_same(one, one) and not memory.is_same(one, other)
