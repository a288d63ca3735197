"""The ONNX door as something that can be searched."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from systolith.exchange import import_onnx
from systolith.fuzz.choices import Choices
from systolith.fuzz.graphs.drawing import draw_graph
from systolith.fuzz.graphs.graph import Graph
from systolith.fuzz.graphs.judging import Read, judge_graph
from systolith.fuzz.reduce import reduced
from systolith.fuzz.target import silent
from systolith.fuzz.verdict import Verdict

__all__ = ["GraphTarget"]


@dataclass(frozen=True, slots=True)
class GraphTarget:
    """From ONNX files to the golden arithmetic.

    Attributes
    ----------
    read : callable
        Imports.
    """

    read: Read = import_onnx

    settings: dict[str, int] = field(default_factory=dict)

    def require(self) -> None:
        """Need no tools."""

    def draw(self, choices: Choices) -> Graph:
        """Choose a graph."""
        with silent():
            return draw_graph(choices)

    def judge(self, case: Graph, workdir: Path) -> Verdict:
        """Take it through the door."""
        with silent():
            return judge_graph(case, self.read)

    def shrink(
        self,
        case: Graph,
        verdict: Verdict,
        made: Sequence[int],
        judged: Callable[[Graph], Verdict],
        attempts: int,
    ) -> tuple[Graph, Verdict]:
        """Take nodes away."""
        return reduced(case, verdict, judged, attempts=attempts)

    def contents(self, case: Graph) -> Iterator[str]:
        """List what it contains."""
        yield from case.covers
