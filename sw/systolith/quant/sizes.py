"""Which operations of a recording hold for images of one size only."""

from torch import fx

from systolith.quant.operations import AveragePool, MaxPool, Operation

__all__ = ["depends_on_size"]


def depends_on_size(node: fx.Node, operation: Operation | None) -> bool:
    """Whether images of another size would make another operation of a node.

    So do windows that were computed from the size, ``ceil_mode``, which adds a window at some
    sizes, and indices, which leave something out at others.
    """
    module = node.meta.get("module")
    target = type(module) if module else node.target
    name = getattr(target, "__name__", str(target)).lower()
    match operation:
        case AveragePool(kernel_size=None):
            return False
        case AveragePool() | MaxPool() if "pool2d" in name and not name.startswith("adaptive"):
            arguments = (*node.args, node.kwargs.get("ceil_mode"), getattr(module, "ceil_mode", 0))
            return any(argument is True for argument in arguments)
    if name == "getitem":
        index = node.args[1]
        parts = index if isinstance(index, tuple) else (index,)
        return any(part not in (None, Ellipsis, slice(None)) for part in parts)
    return name.startswith("adaptive") or name in ("mean", "amax")
