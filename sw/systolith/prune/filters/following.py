"""Run a model and follow the identity of each channel through it."""

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters.calls import Call
from systolith.prune.filters.channels import Channels, Labels
from systolith.prune.filters.operations import Flow, module_flow
from systolith.trace import evaluating

__all__ = ["Followed", "follow_channels"]

IMAGES = 2


@dataclass(slots=True, kw_only=True)
class Followed:
    """Which channel is where.

    Parameters
    ----------
    channels : Channels
    outputs : dict of str to Labels
        Output channels by producer and batch norm, in the order of their first calls.
    inputs : dict of str to Labels
        Input channels by module that mixes them.
    producers : list of str
        Convolutions and linear layers among `outputs`.
    exposed : set of str
        Those of `outputs` whose zeros reach what mixes channels with no batch norm or depthwise
        convolution between, which would turn them into something else.
    """

    channels: Channels = field(default_factory=Channels)
    outputs: dict[str, Labels] = field(default_factory=dict)
    inputs: dict[str, Labels] = field(default_factory=dict)
    producers: list[str] = field(default_factory=list)
    exposed: set[str] = field(default_factory=set)


def follow_channels(model: nn.Module, images: Tensor) -> Followed:
    """Follow channels through all operations of a model.

    Raises
    ------
    PruneError
        If torch.fx cannot trace the model, or the images do not fit it.
    """
    try:
        traced = fx.symbolic_trace(model)
    except Exception as error:  # whatever the model's own code raises when it meets a proxy
        problem = (
            f"'{type(model).__name__}' needs a forward() that torch.fx can trace, one that does "
            f"not branch on values or shapes, got {type(error).__name__}: {error}"
        )
        raise PruneError([problem]) from error
    weight = next(model.parameters(), images)
    follower = _Follower(traced)
    try:
        with evaluating(model):
            follower.run(images[:IMAGES].to(weight))
    except Exception as error:  # whatever PyTorch raises
        reason = str(error).split("\n", 1)[0]  # without where fx was
        problem = f"images of shape {tuple(images.shape)} do not fit the model: {reason}"
        raise PruneError([problem]) from error
    follower.find_exposed()
    _fix_shared_parameters(model, follower.found)
    return follower.found


class _Follower(fx.Interpreter):
    """Computes values as usual, and the identities of their channels beside them."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.nodes = list(traced.graph.nodes)
        self.found = Followed()
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.labels: dict[fx.Node, Labels] = {}
        """Of a tensor: its channels. Of anything else: the channels whose count it may contain."""
        self.flows: dict[fx.Node, Flow] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        match n.op:
            case "placeholder" | "get_attr":
                self.flows[n], self.labels[n] = Flow.MIX, self._new(value)
                what = "an input of the network" if n.op == "placeholder" else "a constant"
                self.found.channels.fix(self.labels[n], f"it is tied to {what}")
            case "output":
                self.flows[n] = Flow.MIX
                self.found.channels.fix(self._read(n), "it is an output of the network")
            case "call_module":
                self.flows[n], self.labels[n] = self._module(n, value)
            case _:
                self.flows[n], self.labels[n] = self._call(n, value)
        return value

    def _call(self, node: fx.Node, value: Any) -> tuple[Flow, Labels]:
        call = Call(
            node=node,
            value=value,
            shapes=self.shapes,
            labels=self.labels,
            channels=self.found.channels,
        )
        what = getattr(node.target, "__name__", node.target)
        return call.follow() or self._mix(node, value, f"'{node.name}' ({what})")

    def _module(self, node: fx.Node, value: Any) -> tuple[Flow, Labels]:
        name, found = str(node.target), self.found
        module = self.module.get_submodule(name)
        plain = len(node.args) == 1 and not node.kwargs and isinstance(value, Tensor)
        source = node.args[0] if plain else None
        if not isinstance(source, fx.Node) or len(self.shapes.get(source, ())) < 2:
            return self._mix(node, value, f"'{name}' ({type(module).__name__})")
        labels = self.labels[source]
        flow = module_flow(module, len(self.shapes[source]))
        match flow:
            case Flow.PASS:
                return flow, labels
            case Flow.REPEAT:
                return flow, np.repeat(labels, value.shape[1] // len(labels))
            case Flow.NORMALIZE:
                self._unite(found.outputs, name, labels)
                return flow, labels
            case Flow.DEPTHWISE:
                labels = np.repeat(labels, value.shape[1] // len(labels))
                self._unite(found.outputs, name, labels)
            case Flow.PRODUCE:
                self._unite(found.inputs, name, labels)
                if name not in found.outputs:
                    found.outputs[name] = found.channels.fresh(value.shape[1])
                labels = found.outputs[name]
            case Flow.MIX:
                return self._mix(node, value, f"'{name}' ({type(module).__name__})")
        if name not in found.producers:
            found.producers.append(name)
        return flow, labels

    def _mix(self, node: fx.Node, value: Any, what: str) -> tuple[Flow, Labels]:
        """Something unknown: what goes in stays, what comes out stays."""
        reason = f"it meets {what}, through which channels cannot be followed"
        self.found.channels.fix(self._read(node), reason)
        labels = self._new(value)
        self.found.channels.fix(labels, reason)
        return Flow.MIX, labels

    def _read(self, node: fx.Node) -> Labels:
        labels = [self.labels[source] for source in node.all_input_nodes]
        return np.concatenate([np.empty(0, dtype=np.int64), *labels])

    def _new(self, value: Any) -> Labels:
        channels = value.shape[1] if isinstance(value, Tensor) and value.ndim > 1 else 0
        return self.found.channels.fresh(channels)

    def _unite(self, where: dict[str, Labels], name: str, labels: Labels) -> None:
        """A module that is called twice ties what it reads."""
        self.found.channels.unite(where.setdefault(name, labels), labels)

    def find_exposed(self) -> None:
        exposed: dict[fx.Node, bool] = {}
        for node in reversed(self.nodes):
            exposed[node] = any(
                self.flows[user] in (Flow.MIX, Flow.PRODUCE)
                or (self.flows[user] in (Flow.PASS, Flow.REPEAT) and exposed[user])
                for user in node.users
            )
            if node.op == "call_module" and exposed[node]:
                self.found.exposed.add(str(node.target))


def _fix_shared_parameters(model: nn.Module, found: Followed) -> None:
    owners: dict[nn.Parameter, list[str]] = {}
    for name in dict.fromkeys(chain(found.outputs, found.inputs)):
        for parameter in model.get_submodule(name).parameters():
            owners.setdefault(parameter, []).append(name)
    for names in owners.values():
        if len(names) > 1:
            for name, labels in chain(found.outputs.items(), found.inputs.items()):
                if name in names:
                    shared = " and ".join(f"'{owner}'" for owner in names)
                    found.channels.fix(labels, f"{shared} share a parameter")
