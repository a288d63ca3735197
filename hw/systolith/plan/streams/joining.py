"""Streams between engines: forks for several readers, gearboxes for changes of width."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, gcd, lcm

from systolith.network import INPUT, Concat, Flatten, IntegerNetwork, Layer, Tensor, identifier
from systolith.plan.sizes.workload import source_of
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.stage_graph import EnginePlan, StageGraph, StagePlan

__all__ = ["join_engines", "readers_of"]

NEVER_FULL = 1 << 30
"""Depth of queues that are not sized yet, in transfers."""


def readers_of(network: IntegerNetwork, name: str) -> list[tuple[Layer | None, int]]:
    """List the layers that read a tensor, each with the number of its input.

    The network's outputs come last: None instead of a layer, with the number of the output.
    """
    readers: list[tuple[Layer | None, int]] = [
        (layer, port)
        for layer in network.layers
        if not isinstance(layer, Flatten)
        for port, source in enumerate(layer.inputs)
        if source_of(network, source) == name
    ]
    return readers + [
        (None, number)
        for number, output in enumerate(network.outputs)
        if source_of(network, output) == name
    ]


def join_engines(network: IntegerNetwork, engines: Sequence[EnginePlan], pace: int) -> StageGraph:
    """Join engines by streams.

    A tensor with several readers gets a fork, whose queues have no bounds yet. Neighbours with
    different lanes get a gearbox, or two if neither width divides the other.

    Parameters
    ----------
    network : IntegerNetwork
    engines : sequence of EnginePlan
        One for each layer except flattenings, in the network's order.
    pace : int
        Cycles per frame that no stream should exceed.
    """
    return _Joining(network, engines, pace).graph()


class _Joining:
    def __init__(self, network: IntegerNetwork, engines: Sequence[EnginePlan], pace: int) -> None:
        self.network, self.pace = network, pace
        self.engines = {engine.name: engine for engine in engines}
        self.names = {identifier(name) for name in self.engines}
        self.stages: list[StagePlan] = []
        self.sources: dict[str, tuple[str, ...]] = {}
        self.ends: dict[tuple[str | None, int], str] = {}
        """Stage that feeds each input of each layer, see `readers_of`."""

    def graph(self) -> StageGraph:
        first = readers_of(self.network, INPUT)
        lanes = [self._lanes_into(layer, port) for layer, port in first]
        self._spread(INPUT, INPUT, self.network.input, max(lanes))
        for engine in self.engines.values():
            layer = self.network[engine.name]
            self.sources[engine.name] = tuple(
                self.ends[engine.name, port] for port in range(len(layer.inputs))
            )
            self.stages.append(engine)
            self._spread(engine.name, engine.name, engine.output, engine.lanes_out)
        outputs = [self.ends[None, number] for number in range(len(self.network.outputs))]
        return StageGraph(stages=tuple(self.stages), sources=self.sources, outputs=tuple(outputs))

    def _spread(self, layer: str, stage: str, tensor: Tensor, lanes: int) -> None:
        """Connect a stage's stream to all its readers."""
        readers = readers_of(self.network, layer)
        if len(readers) > 1:
            fork = ForkPlan(
                name=self._unused(f"{layer}_fork"),
                output=tensor,
                lanes=lanes,
                depths=(NEVER_FULL,) * len(readers),
            )
            self._append(fork, stage)
            stage = fork.name
        for reader, port in readers:
            if reader is None:
                self.ends[None, port] = stage
                continue
            end = stage
            for change in self._gearboxes(layer, tensor, lanes, reader, port):
                self._append(change, end)
                end = change.name
            self.ends[reader.name, port] = end

    def _gearboxes(
        self, layer: str, tensor: Tensor, lanes: int, reader: Layer, port: int
    ) -> Iterator[GearboxPlan | ForkPlan]:
        """Change the width through the greatest common divisor, or the least common multiple.

        The divisor is used unless it is too slow. The multiple takes larger registers, and a queue
        between both gearboxes: where a pixel ends in the middle of a register, one gearbox gives
        two transfers before the other takes any. So is there one in front of a concatenation, which
        takes the transfers of an input in bursts.
        """
        wanted = self._lanes_into(reader, port)
        common = gcd(lanes, wanted)
        paces = [self.pace, self.engines[reader.name].cycles]
        if layer in self.engines:
            paces.append(self.engines[layer].cycles)
        if tensor.pixels * ceil(tensor.shape[0] / common) > max(paces):
            common = lcm(lanes, wanted)
        widths = [lanes, common, wanted]
        changes = [pair for pair in pairwise(widths) if pair[0] != pair[1]]
        for number, (lanes_in, lanes_out) in enumerate(changes):
            if number and lanes_in > lanes_out:
                queue = self._unused(f"{layer}_queue")
                yield ForkPlan(name=queue, output=tensor, lanes=lanes_in, depths=(NEVER_FULL,))
            yield GearboxPlan(
                name=self._unused(f"{layer}_gearbox{number}"),
                tensor=tensor,
                lanes_in=lanes_in,
                lanes_out=lanes_out,
            )
        if changes and isinstance(reader, Concat):
            queue = self._unused(f"{layer}_queue")
            yield ForkPlan(name=queue, output=tensor, lanes=wanted, depths=(NEVER_FULL,))

    def _lanes_into(self, layer: Layer | None, port: int) -> int:
        return 1 if layer is None else self.engines[layer.name].lanes_in

    def _append(self, stage: StagePlan, source: str) -> None:
        self.stages.append(stage)
        self.sources[stage.name] = (source,)

    def _unused(self, name: str) -> str:
        while identifier(name) in self.names:
            name += "_"
        self.names.add(identifier(name))
        return name
