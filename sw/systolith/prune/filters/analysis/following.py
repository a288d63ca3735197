"""The identity of each channel, followed through a recording of a model."""

from dataclasses import dataclass, field
from itertools import chain

from torch import fx, nn

from systolith.prune.filters.analysis.channels import Channels, Labels
from systolith.prune.filters.analysis.context import CallInContext, ChannelEffect, tie_groups
from systolith.prune.filters.analysis.rules import follow_call
from systolith.trace import Call, Recording, read_call
from systolith.trace.modules import kind_of

__all__ = ["FollowedChannels", "follow_channels", "not_followed"]


@dataclass(slots=True, kw_only=True)
class FollowedChannels:
    """Channels by module.

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
        Modules of `outputs` whose zeros reach an operation that mixes channels, with no batch norm
        or depthwise convolution between, which would change them.
    """

    channels: Channels = field(default_factory=Channels)
    outputs: dict[str, Labels] = field(default_factory=dict)
    inputs: dict[str, Labels] = field(default_factory=dict)
    producers: list[str] = field(default_factory=list)
    exposed: set[str] = field(default_factory=set)
    values: dict[fx.Node, Labels] = field(default_factory=dict)


def follow_channels(model: nn.Module, recording: Recording) -> FollowedChannels:
    """Follow channels through all calls of a model's recording, which has no problems."""
    follower = _Follower(model, recording)
    for node in recording.graph.nodes:
        follower.follow(node)
    follower.find_exposed()
    _fix_shared_parameters(model, follower.followed)
    return follower.followed


def not_followed(node: fx.Node) -> str:
    """Reason why the channels that meet a call have to stay."""
    kind = node.meta.get("title") or getattr(node.target, "__name__", node.target)
    name = node.target if node.op == "call_module" else node.name
    return f"it meets '{name}' ({kind}), through which channels cannot be followed"


class _Follower:
    """Finds the channels of each value of a recording."""

    def __init__(self, model: nn.Module, recording: Recording) -> None:
        self.model = model
        self.recording = recording
        self.followed = FollowedChannels()
        self.shapes = {node: tuple(value.shape) for node, value in recording.values.items()}
        self.labels = self.followed.values
        self.effects: dict[fx.Node, ChannelEffect] = {}

    def follow(self, node: fx.Node) -> None:
        channels = self.followed.channels
        if node.op == "placeholder":
            self.effects[node], self.labels[node] = ChannelEffect.MIX, self._fresh(node)
            channels.fix(self.labels[node], "it is tied to an input of the network")
        else:
            self.effects[node], self.labels[node] = self._call(node)
        if node in self.recording.outputs:
            channels.fix(self.labels[node], "it is an output of the network")

    def _call(self, node: fx.Node) -> tuple[ChannelEffect, Labels]:
        call = read_call(node, self.recording.values)
        outcome = None
        if call.module is None or (node.op == "call_module" and self._is_plain(call)):
            outcome = follow_call(
                CallInContext(
                    call=call,
                    shapes=self.shapes,
                    labels=self.labels,
                    channels=self.followed.channels,
                )
            )
        if outcome is None:
            return self._mix(node)
        effect, labels = outcome
        name, followed = str(node.target), self.followed
        match effect:
            case ChannelEffect.NORMALIZE | ChannelEffect.DEPTHWISE:
                self._unite(followed.outputs, name, labels)
            case ChannelEffect.PRODUCE:
                self._unite(followed.inputs, name, labels)
                if name not in followed.outputs:
                    followed.outputs[name] = self._fresh(node)
                    self._fix_unread(name)
                    parts = getattr(call.module, "groups", 1)
                    tie_groups(followed.channels, followed.outputs[name], parts)
                labels = followed.outputs[name]
        if effect in (ChannelEffect.DEPTHWISE, ChannelEffect.PRODUCE):
            if name not in followed.producers:
                followed.producers.append(name)
        return effect, labels

    def _fix_unread(self, name: str) -> None:
        """Keep the filters of a layer that the outputs do not depend on: nothing scores them."""
        nodes = self.recording.graph.find_nodes(op="call_module", target=name)
        if self.recording.unread.issuperset(nodes):
            reason = "the network's outputs do not depend on it"
            self.followed.channels.fix(self.followed.outputs[name], reason)

    def _is_plain(self, call: Call) -> bool:
        """Whether a module has PyTorch's own class; a subclass may compute something else."""
        assert call.module is not None
        own = self.model.get_submodule(str(call.node.target))
        return kind_of(own) is kind_of(call.module)

    def _mix(self, node: fx.Node) -> tuple[ChannelEffect, Labels]:
        """Keep all inputs and outputs of an unknown operation."""
        channels, labels = self.followed.channels, self._fresh(node)
        if node in self.recording.unread:  # the smaller model shows whether it still runs
            return ChannelEffect.MIX, labels
        for source in node.all_input_nodes:
            channels.fix(self.labels[source], not_followed(node))
        channels.fix(labels, not_followed(node))
        return ChannelEffect.MIX, labels

    def _fresh(self, node: fx.Node) -> Labels:
        shape = self.shapes.get(node, ())
        return self.followed.channels.fresh(shape[1] if len(shape) > 1 else 0)

    def _unite(self, where: dict[str, Labels], name: str, labels: Labels) -> None:
        """Tie what a module reads, or makes, in all of its calls."""
        self.followed.channels.unite(where.setdefault(name, labels), labels)

    def find_exposed(self) -> None:
        exposed: dict[fx.Node, bool] = {}
        for node in reversed(list(self.recording.graph.nodes)):
            if node in self.recording.unread:
                exposed[node] = False
                continue
            exposed[node] = node in self.recording.outputs or any(
                self.effects[user] in (ChannelEffect.MIX, ChannelEffect.PRODUCE)
                or (
                    self.effects[user] in (ChannelEffect.KEEP, ChannelEffect.REPEAT)
                    and exposed[user]
                )
                for user in node.users
                if user not in self.recording.unread
            )
            if node.op == "call_module" and exposed[node]:
                self.followed.exposed.add(str(node.target))


def _fix_shared_parameters(model: nn.Module, followed: FollowedChannels) -> None:
    owners: dict[nn.Parameter, list[str]] = {}
    for name in dict.fromkeys(chain(followed.outputs, followed.inputs)):
        for parameter in model.get_submodule(name).parameters():
            owners.setdefault(parameter, []).append(name)
    for names in owners.values():
        if len(names) > 1:
            for name, labels in chain(followed.outputs.items(), followed.inputs.items()):
                if name in names:
                    shared = " and ".join(f"'{owner}'" for owner in names)
                    followed.channels.fix(labels, f"{shared} share a parameter")
