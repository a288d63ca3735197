"""Calls of a recording by operator, with arguments by name; and names of calls for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from systolith.trace.modules import kind_of
from systolith.trace.operators import (
    COMMON_PARAMETERS,
    OperatorRow,
    operator_of_call,
    operator_of_module,
)

__all__ = ["Call", "qualified_name", "read_call", "readable_name", "title"]

Shape = tuple[int, ...]
_IMAGE_AXES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a recording, in terms of the table of operators.

    Parameters
    ----------
    node : fx.Node
    operator : str
        Name in the table; empty for what is not there.
    target : object
        The function, ``"Tensor."`` and a method's name, or a module's name.
    module : nn.Module, optional
        The module that is called, as the forward pass used it; or one that computes what a function
        computes with its weights.
    arguments : mapping of str to object
        By parameter, without defaults. What depends on the images is a node, the rest values.
    problems : tuple of str
        Arguments that the table does not know.
    inputs : tuple of Shape
        Shapes of the tensors that depend on the images, in the order of ``node.all_input_nodes``.
    output : Shape
        Shape of the result, batch axis first; empty if it is no tensor, that of the first input if
        the call failed.
    """

    node: fx.Node
    operator: str
    target: Any
    module: nn.Module | None
    arguments: Mapping[str, Any]
    problems: tuple[str, ...]
    inputs: tuple[Shape, ...]
    output: Shape

    @property
    def input(self) -> Shape:
        """Shape of the first tensor that is read, batch axis first."""
        return self.inputs[0]

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of the first tensor that is read."""
        return self.input[2], self.input[3]

    @property
    def are_images(self) -> bool:
        """Whether input and output have shape (N, C, H, W)."""
        return len(self.input) == len(self.output) == _IMAGE_AXES

    @property
    def keeps_shape(self) -> bool:
        """Whether input and output have one shape."""
        return self.input == self.output


def read_call(node: fx.Node, values: Mapping[fx.Node, Tensor]) -> Call:
    """Read a node of a recording.

    Parameters
    ----------
    node : fx.Node
        Of a function, method or module; not of the images.
    values : mapping of fx.Node to Tensor
        Those of the recording.
    """
    target = f"Tensor.{node.target}" if node.op == "call_method" else node.target
    module: nn.Module | None = node.meta.get("module")
    row = operator_of_call(target) if module is None else operator_of_module(kind_of(module))
    arguments: dict[str, Any] = {}
    problems: list[str] = []
    if row is not None and module is not None:
        arguments = row.module_arguments(module, kind_of(module))
        arguments[row.first] = node.args[0] if node.args else node.kwargs.get(row.first)
    elif row is not None:
        arguments = _by_name(row, node, problems)
    inputs = tuple(
        tuple(values[source].shape) if source in values else () for source in node.all_input_nodes
    )
    output = tuple(values[node].shape) if node in values else ()
    return Call(
        node=node,
        operator="" if row is None else row.name,
        target=target,
        module=module,
        arguments=arguments,
        problems=tuple(problems),
        inputs=inputs,
        output=inputs[0] if "failed" in node.meta else output,
    )


def _by_name(row: OperatorRow, node: fx.Node, problems: list[str]) -> dict[str, Any]:
    names = (row.first, *row.parameters)
    positional: Iterable[Any] = node.args
    if row.variadic and len(node.args) > 1 and not _is_sequence(node.args[1:]):
        positional = node.args[0], node.args[1:]
    if len(given := list(positional)) > len(names):
        problems.append(f"has more arguments than are understood: {len(given)}")
    keywords = {row.aliases.get(name, name): value for name, value in node.kwargs.items()}
    unknown = sorted(keywords.keys() - {*names, *COMMON_PARAMETERS})
    problems += [f"has an argument that is not understood: {name}" for name in unknown]
    return dict(zip(names, given, strict=False)) | keywords


def _is_sequence(arguments: Sequence[Any]) -> bool:
    return len(arguments) == 1 and isinstance(arguments[0], tuple | list)


def title(node: fx.Node) -> str:
    """Name and kind of what a node calls, for messages: ``'layer1.0.conv' (Conv2d)``."""
    match node.op:
        case "call_module":
            kind = str(node.meta["title"])
        case "call_method":
            kind = f"method {node.target}"
        case _:
            kind = f"function {getattr(node.target, '__name__', node.target)}"
    return f"'{qualified_name(node)}' ({kind})"


def qualified_name(node: fx.Node) -> str:
    """Name of a module, or of the owner of the weights; of anything else its readable name."""
    if node.op == "call_module":
        return str(node.target)
    return str(node.meta.get("owner") or readable_name(node))


def readable_name(node: fx.Node) -> str:
    """Name that is an identifier in Python and Verilog: ``layer1.0.conv`` is ``layer1_0_conv``.

    Names that an ``nn.ModuleDict`` has for itself, such as ``values`` and ``to``, get a ``layer_``.
    """
    if hasattr(nn.ModuleDict, node.name):
        return f"layer_{node.name}"
    return f"layer{node.name}" if node.name.startswith("_") else node.name
