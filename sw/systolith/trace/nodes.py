"""Names and operands of the nodes of a recording."""

from torch import fx

__all__ = ["operands", "qualified", "readable", "title"]


def operands(node: fx.Node) -> list[fx.Node]:
    """Both sides of an addition, which may be the same."""
    sides = [*node.args, *(node.kwargs[name] for name in ("input", "other") if name in node.kwargs)]
    return [side for side in sides if isinstance(side, fx.Node)]


def title(node: fx.Node) -> str:
    """Name and kind of what a node calls, for messages: ``'layer1.0.conv' (Conv2d)``."""
    match node.op:
        case "call_module":
            kind = str(node.meta["title"])
        case "call_method":
            kind = f"method {node.target}"
        case _:
            kind = f"function {getattr(node.target, '__name__', node.target)}"
    return f"'{qualified(node)}' ({kind})"


def qualified(node: fx.Node) -> str:
    """Name of a module, ``layer1.0.conv``; of anything else as :func:`readable`."""
    return str(node.target) if node.op == "call_module" else readable(node)


def readable(node: fx.Node) -> str:
    """Name that is an identifier in Python and Verilog: ``layer1.0.conv`` is ``layer1_0_conv``."""
    return f"layer{node.name}" if node.name.startswith("_") else node.name
