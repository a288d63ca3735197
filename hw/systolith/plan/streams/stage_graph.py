"""The stages of a pipeline, the streams that join them, and their names in Verilog."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from systolith.network import INPUT, identifier
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.arg_max_plan import ArgMaxPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.table_plan import TablePlan
from systolith.plan.moving.block_plan import BlockPlan
from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.moving.select_plan import SelectPlan
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan

__all__ = [
    "Edge",
    "EnginePlan",
    "MovingPlan",
    "StageGraph",
    "StagePlan",
    "WindowedEngine",
    "signal_name",
]

RESERVED = re.compile(
    r"(clk|rst|i|o|o_[0-9]+|load|loaded|overflow|other|.*__(payload|valid|ready))_*", re.DOTALL
)
"""Names of ports, of logic outside engines and of the wires of streams, each with any number of
underscores behind it. Verilog keywords are not reserved: Amaranth escapes them.
"""

WindowedEngine = ConvPlan | PoolPlan | BlockPlan
MovingPlan = ConcatPlan | SelectPlan | BlockPlan
"""Engines that move channels or pixels and compute nothing."""
EnginePlan = ConvPlan | PoolPlan | AddPlan | MultiplyPlan | TablePlan | ArgMaxPlan | MovingPlan
StagePlan = EnginePlan | GearboxPlan | ForkPlan


@dataclass(frozen=True, slots=True)
class Edge:
    """A stream from one stage to another.

    `source` is :data:`systolith.network.INPUT` for the input of the pipeline, `target` None for an
    output. `branch` numbers the streams out of `source`, `port` those into `target`.
    """

    source: str
    branch: int
    target: str | None
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageGraph:
    """Stages joined by streams.

    Only forks have several readers: one for each queue.

    Parameters
    ----------
    stages : tuple of StagePlan
        In the order of the data flow, with different names.
    sources : mapping of str to tuple of str
        Names of the stages that each stage reads, port by port; :data:`systolith.network.INPUT` is
        the input of the pipeline.
    outputs : tuple of str
        Stages whose streams are the network's outputs, in their order.
    """

    stages: tuple[StagePlan, ...]
    sources: Mapping[str, tuple[str, ...]]
    outputs: tuple[str, ...]

    @classmethod
    def chain(cls, stages: Sequence[StagePlan]) -> "StageGraph":
        """Join stages one after the other."""
        names = [INPUT, *(stage.name for stage in stages)]
        sources = {after: (before,) for before, after in pairwise(names)}
        return cls(stages=tuple(stages), sources=sources, outputs=(names[-1],))

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All streams, in the order of their readers; outputs come last."""
        return tuple(self._edges())

    def with_stages(self, stages: Sequence[StagePlan]) -> "StageGraph":
        """Return the graph with other stages of the same names, in the same order."""
        return replace(self, stages=tuple(stages))

    def _edges(self) -> Iterator[Edge]:
        branches: Counter[str] = Counter()
        readers = [(stage.name, self.sources[stage.name]) for stage in self.stages]
        for target, sources in [*readers, (None, self.outputs)]:
            for port, source in enumerate(sources):
                yield Edge(source, branches[source], target, port)
                branches[source] += 1


def signal_name(stage: str) -> str:
    """Name of a stage's Verilog instance and of the wires of its output stream.

    It is the identifier of the layer or stage, with one more underscore at the end where it would
    equal a port or a wire of another stream.

    Examples
    --------
    >>> [signal_name(stage) for stage in ("block.0", "always", "o", "o_", "fc__valid")]
    ['block_0', 'always', 'o_', 'o__', 'fc__valid_']
    """
    name = identifier(stage)
    return f"{name}_" if RESERVED.fullmatch(name) else name
