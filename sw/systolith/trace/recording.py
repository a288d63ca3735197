"""A float model's calls on a few images, recorded as a graph without side effects."""

import inspect
import operator
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map

from systolith.trace.aliases import AliasMap, changed_through_a_view
from systolith.trace.calls import qualified_name, title
from systolith.trace.composites import in_parts, is_made_of_parts, sum_of_stack
from systolith.trace.escapes import reads_size, reads_values
from systolith.trace.modules import as_used, is_leaf, kind_of, misfit, of_function, of_weights
from systolith.trace.overloads import as_function
from systolith.trace.running import as_written, evaluating, first_images, model_problems

__all__ = ["Recording", "record"]

_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "matmul": operator.matmul,
    "neg": operator.neg,
    "pow": operator.pow,
    "add_": operator.iadd,
    "__getitem__": operator.getitem,
    "__setitem__": operator.setitem,
}
"""Methods of tensors that PyTorch calls for Python's operators."""

IN_PLACE = "changes in place what is read later through another view of it; write x = x + y"


@dataclass(kw_only=True)
class Recording:
    """Calls of a model on some images.

    Parameters
    ----------
    graph : fx.Graph
        One node per call of a module of ``torch.nn``, or of a function or method outside of these.
        In-place operations make new values, which all later calls read. Arguments that do not
        depend on the images are values: numbers, shapes, tensors. The node of a module has it in
        ``meta["module"]``, with the weights of this forward pass, and so has the node of a function
        that is called with weights.
    values : dict of fx.Node to Tensor
        Result of each node.
    outputs : tuple of fx.Node
        Tensors that the model returns. Of several, each is a copy, a node that nothing reads.
    form : object
        What the model returns, with the number of each tensor in its place: nested tuples, lists
        and dictionaries of numbers; 0 for a single tensor.
    problems : list of str
        Reasons why the recording is not complete.
    reads_sizes : bool
        Whether the model may have read height or width of an image; these are numbers in the graph.
    unread : set of fx.Node
        Calls in the graph that no output depends on.
    """

    graph: fx.Graph = field(default_factory=fx.Graph)
    values: dict[fx.Node, Tensor] = field(default_factory=dict)
    outputs: tuple[fx.Node, ...] = ()
    form: Any = 0
    problems: list[str] = field(default_factory=list)
    reads_sizes: bool = False
    unread: set[fx.Node] = field(default_factory=set)


def record(
    model: nn.Module, images: Tensor, count: int = 2, *, keep_unread: bool = False
) -> Recording:
    """Run a model in evaluation mode and record it.

    Python code runs as usual meanwhile: hooks run, sizes are numbers, loops and branches on shapes
    are resolved. Only the values of tensors must not reach Python.

    Parameters
    ----------
    model : nn.Module
        Left as it is, except for what its own hooks compute before each forward pass.
    images : Tensor, shape (N, *input_shape)
        The first `count` are used, converted as :func:`first_images` does.
    count : int
        More than 1, so that the batch axis is not taken for an axis of length 1.
    keep_unread : bool
        Whether calls that no output depends on are in the graph, too.

    Returns
    -------
    Recording
        A model that cannot be run, or not be recorded completely, gives one with problems.
    """
    if problems := list(model_problems(model)):
        return Recording(problems=problems)
    chosen = first_images(model, images, count)
    recorder = _Recorder(model, len(chosen))
    recording = recorder.recording
    try:
        with evaluating(model, copies=False), as_written(), recorder.watching(), recorder:
            given = chosen.clone()
            recorder.see(recording.graph.placeholder(_argument_name(model)), given)
            result = model(given)
    except Exception as error:  # whatever the model's own code raises
        recording.problems.append(
            f"images of shape {tuple(chosen.shape)} do not fit the model: "
            f"{recorder.failed}{str(error) or type(error).__name__}"
        )
        if recorder.misfit:
            recording.problems[-1] = recorder.misfit
    else:
        recorder.finish(result, keep_unread)
    return recording


class _Recorder(TorchFunctionMode):
    """Records all calls of PyTorch's functions while it is active."""

    def __init__(self, model: nn.Module, images: int) -> None:
        super().__init__()
        self.model = model
        self._images = images
        self.recording = Recording()
        self.memory = AliasMap(self.recording.graph)
        self.failed = ""
        self.misfit = ""
        self._names = {module: name for name, module in model.named_modules()}
        self._owners: list[nn.Module] = []
        self._inside = False
        """Whether a leaf module is running; its own calls are not recorded."""

    def see(self, node: fx.Node, value: Tensor) -> None:
        self.recording.values[node] = self.memory.write(value, node)

    def finish(self, result: Any, keep_unread: bool) -> None:
        recording = self.recording
        recording.outputs, recording.form = self._returned(result)
        if recording.outputs:
            recording.unread = _unread_nodes(recording.graph, recording.outputs)
        if not keep_unread:
            for node in reversed([n for n in recording.graph.nodes if n in recording.unread]):
                recording.graph.erase_node(node)
            recording.unread = set()
        for node in recording.graph.nodes:
            if node.target is changed_through_a_view and node not in recording.unread:
                (changer,) = node.all_input_nodes
                self.recording.problems.append(f"{title(changer)}: {IN_PLACE}")

    def _returned(self, result: Any) -> tuple[tuple[fx.Node, ...], Any]:
        """Find the nodes of all tensors that the model returns, and the form."""
        tensors, numbers = tree_leaves(result), count()
        problems = self.recording.problems
        kinds = {type(tensor).__name__ for tensor in tensors if not isinstance(tensor, Tensor)}
        if kinds or not tensors:
            given = ", ".join(sorted(kinds)) or "none"
            problems.append(f"forward() (model): needs to return tensors, got {given}")
            return (), None
        nodes = [node for tensor in tensors if (node := self.memory.read(tensor)) is not None]
        if len(nodes) < len(tensors):
            problems.append("forward() (model): needs to return what a layer computes")
            return (), None
        if len(nodes) > 1:
            values = self.recording.values  # what changed through a view has none
            nodes = [self._copy(node) if node in values else node for node in nodes]
        return tuple(nodes), tree_map(lambda tensor: next(numbers), result)

    def _copy(self, node: fx.Node) -> fx.Node:
        """Record a copy of a value, which counts as one more reader of it."""
        copy = self.recording.graph.create_node(
            "call_function", torch.clone, (node,), name="output"
        )
        copy.meta.update(module=None, title="", owner="")
        self.recording.values[copy] = self.recording.values[node]
        return copy

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Replace the forward() of modules by one that records; their hooks run as usual."""
        watched = []
        for module in self._names:
            if "forward" in vars(module):  # replaced by the user: what it calls is recorded
                continue
            if module is not self.model and is_leaf(module) and not is_made_of_parts(module):
                replacement = partial(self._leaf, module, module.forward)
            elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):  # a subclass
                replacement = partial(self._owner, module, module.forward)
            else:
                continue
            vars(module)["forward"] = replacement
            watched.append(module)
        try:
            yield
        finally:
            for module in watched:
                del vars(module)["forward"]

    def _owner(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        self._owners.append(module)
        try:
            return forward(*args, **kw)
        finally:
            self._owners.pop()

    def _leaf(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        if self._inside:
            return forward(*args, **kw)
        name = self._names[module]
        self._inside = True
        try:
            if not self._knows_any((args, kw)):
                return forward(*args, **kw)
            run = partial(forward, *args, **kw)
            kind = kind_of(module).__name__
            return self._call("call_module", name, args, kw, run, as_used(module), kind)
        except Exception:
            title = f"'{name}' ({kind_of(module).__name__})"
            before = self.memory.read(args[0]) if args and isinstance(args[0], Tensor) else None
            reader = "" if before is None else str(qualified_name(before))
            reason = "" if before is None else misfit(module, args[0], reader)
            self.failed, self.misfit = f"{title}: ", f"{title}: {reason}" if reason else ""
            raise
        finally:
            self._inside = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        func, args, kwargs = as_function(func, args, kwargs or {})
        run = partial(func, *args, **kwargs)
        if self._inside or not self._knows_any((args, kwargs)):
            return run()
        parts = in_parts(func, args, kwargs, self.memory.knows)
        if parts is not None:
            with self:
                return parts()
        stacked = sum_of_stack(func, args, kwargs, self.recording.values, self.memory.read)
        if stacked is not None:
            return self._add_up(*stacked)
        owner = self._owners[-1] if self._owners else None
        module = of_function(owner, func, args, kwargs)
        if owner is not None and module is not None:
            name, kind = self._names[owner], kind_of(owner).__name__
            return self._call("call_module", name, args[:1], {}, run, module, kind)
        path = str(resolve_name(func) or "").split(".")
        name = str(getattr(func, "__name__", func))
        module = None
        if not self._knows_any((args[1:], {k: v for k, v in kwargs.items() if k != "input"})):
            module = of_weights(self.model, func, args, kwargs)
        if "Tensor" not in path[:-1]:
            return self._call("call_function", func, args, kwargs, run, module)
        if name in _OPERATORS:
            return self._call("call_function", _OPERATORS[name], args, kwargs, run, module)
        if name in ("__get__", "__set__"):
            name = path[-2] if name == "__get__" else f"{path[-2]}.__set__"
        return self._call("call_method", name, args, kwargs, run, module)

    def _add_up(self, parts: list[Any], divisor: int) -> Tensor:
        """Make nodes that add values, and divide them by a number other than 1."""
        graph, values = self.recording.graph, self.recording.values
        node, *rest = parts
        total = values[node]
        for part in rest:
            total = total + (values[part] if isinstance(part, fx.Node) else part)
            node = graph.call_function(operator.add, (node, part))
            self.see(node, total)
        if divisor != 1:
            total = total / divisor
            node = graph.call_function(operator.truediv, (node, divisor))
            self.see(node, total)
        return total

    def _call(
        self,
        op: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any],
        module: nn.Module | None = None,
        title: str = "",
    ) -> Any:
        """Run a call whose arguments depend on the images, and make a node of it."""
        graph, memory = self.recording.graph, self.memory
        tensors = list(_tensors((args, kwargs)))
        read = fx.node.map_aggregate((args, kwargs), self._argument)
        versions = [_version(tensor) for tensor in tensors]
        try:
            result = run()
        except Exception:
            node = graph.create_node(op, target, *read, name=_name(target))
            node.meta.update(module=module, title=title, failed=True)
            self.failed = self.failed or f"{node.name}: "
            raise
        changed = [
            tensor
            for tensor, version in zip(tensors, versions, strict=True)
            if _version(tensor) != version or memory.is_stale(tensor)
        ]
        given = list(_tensors(result))
        if not given and not changed:
            self._check_reading(target, result, tensors[0], args[1:])
            return result
        owner = "" if module is None or op == "call_module" else self._owner_of(tensors)
        node = graph.create_node(op, target, *read, name=owner.replace(".", "_") or _name(target))
        node.meta.update(module=module, title=title, owner=owner)
        if isinstance(result, Tensor):
            self.see(node, result)
        else:
            for index, part in enumerate(given):
                self.see(graph.call_function(operator.getitem, (node, index)), part)
        for tensor in changed:
            if not any(memory.is_same(tensor, part) for part in given):
                self.see(node, tensor)
            memory.change(tensor, node, self.recording.values)
        return result

    def _owner_of(self, tensors: list[Tensor]) -> str:
        """Name of the module whose weight a function is called with; empty if there is none."""
        weights = {id(tensor) for tensor in tensors}
        names = (name for name, weight in self.model.named_parameters() if id(weight) in weights)
        name = next((name for name in names if name.endswith(".weight")), "")
        return name.removesuffix(".weight")

    def _argument(self, value: Any) -> Any:
        node = self.memory.read(value) if isinstance(value, Tensor) else None
        return value if node is None else node

    def _knows_any(self, values: Any) -> bool:
        return any(self.memory.knows(tensor) for tensor in _tensors(values))

    def _check_reading(
        self, target: Any, result: Any, tensor: Tensor, arguments: tuple[Any, ...]
    ) -> None:
        """Report values that reach Python, which would become constants in the recording."""
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        self.recording.reads_sizes |= reads_size(name, tensor, arguments, self._images)
        if not reads_values(name, result):
            return
        problem = (
            f"'{type(self.model).__name__}' (model): needs a forward() that does not branch on "
            f"values or take them out of tensors, but it, or a hook, calls {name}() of what "
            "depends on the images"
        )
        if problem not in self.recording.problems:
            self.recording.problems.append(problem)


def _unread_nodes(graph: fx.Graph, outputs: Collection[fx.Node]) -> set[fx.Node]:
    """Find calls that no output depends on."""
    unread: set[fx.Node] = set()
    for node in reversed(list(graph.nodes)):
        if node not in outputs and node.op != "placeholder" and unread.issuperset(node.users):
            unread.add(node)
    return unread


def _argument_name(model: nn.Module) -> str:
    return next(iter(inspect.signature(model.forward).parameters), "x")


def _tensors(values: Any) -> Iterator[Tensor]:
    match values:
        case Tensor():
            yield values
        case tuple() | list():
            for value in values:
                yield from _tensors(value)
        case dict():
            yield from _tensors(list(values.values()))
        case slice():
            yield from _tensors([values.start, values.stop, values.step])


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _name(target: Any) -> str | None:
    """Name of a function's node; None lets fx choose, for modules and methods."""
    if isinstance(target, str):
        return target.strip("_") if target.startswith("__") else None
    return str(getattr(target, "__name__", target))
