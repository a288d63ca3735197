"""The PyTorch door as something that can be searched."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from systolith.fuzz.choices import Choices
from systolith.fuzz.programs.drawing import draw_program
from systolith.fuzz.programs.judging import Door, judge_program
from systolith.fuzz.programs.program import Program
from systolith.fuzz.reduce import reduced
from systolith.fuzz.target import silent
from systolith.fuzz.verdict import Verdict
from systolith.quant import prepare

__all__ = ["ProgramTarget"]


@dataclass(frozen=True, slots=True)
class ProgramTarget:
    """From PyTorch modules to the golden arithmetic.

    Attributes
    ----------
    door : callable
        Quantizes.
    """

    door: Door = prepare

    settings: dict[str, int] = field(default_factory=dict)

    def require(self) -> None:
        """Need no tools."""

    def draw(self, choices: Choices) -> Program:
        """Choose a program."""
        with silent():
            return draw_program(choices)

    def judge(self, case: Program, workdir: Path) -> Verdict:
        """Take it through the door."""
        with silent():
            return judge_program(case, self.door)

    def shrink(
        self,
        case: Program,
        verdict: Verdict,
        made: Sequence[int],
        judged: Callable[[Program], Verdict],
        attempts: int,
    ) -> tuple[Program, Verdict]:
        """Take statements away."""
        return reduced(case, verdict, judged, attempts=attempts)

    def contents(self, case: Program) -> Iterator[str]:
        """List what it contains."""
        yield from case.contents()
