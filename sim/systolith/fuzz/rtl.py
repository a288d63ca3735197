"""Random integer networks through RTL: what :func:`fuzz` searches, and its replay."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from systolith.bench import find_toolchain
from systolith.emit import write_design
from systolith.fuzz.case import Case, draw_case
from systolith.fuzz.choices import Choices
from systolith.fuzz.judge import Emit, judge
from systolith.fuzz.search import FuzzResult, search
from systolith.fuzz.shrink import shrunk
from systolith.fuzz.tally import contents
from systolith.fuzz.verdict import Verdict

__all__ = ["MOST_LAYERS", "RtlTarget", "fuzz", "replay"]

MOST_LAYERS = 4


@dataclass(frozen=True, slots=True)
class RtlTarget:
    """From the contract to RTL.

    Attributes
    ----------
    most_layers : int
        Of each network, besides flattenings.
    emit : callable
        Writes the Verilog; one that breaks it shows that fuzzing finds it.
    """

    most_layers: int = MOST_LAYERS
    emit: Emit = write_design

    @property
    def settings(self) -> dict[str, int]:
        """What else decides which case a number is."""
        return {"most_layers": self.most_layers}

    def require(self) -> None:
        """See that the simulators are there."""
        find_toolchain(cocotb=True)

    def draw(self, choices: Choices) -> Case:
        """Choose a network, arrays, images and stalls."""
        return draw_case(choices, self.most_layers)

    def judge(self, case: Case, workdir: Path) -> Verdict:
        """Take it all the way."""
        return judge(case, workdir, self.emit)

    def shrink(
        self,
        case: Case,
        verdict: Verdict,
        made: Sequence[int],
        judged: Callable[[Case], Verdict],
        attempts: int,
    ) -> tuple[Case, Verdict]:
        """Look for simpler decisions."""
        return shrunk(case, verdict, made, self.most_layers, judged, attempts=attempts)

    def contents(self, case: Case) -> Iterator[str]:
        """List layers, patterns and numbers."""
        yield from contents(case)


def fuzz(
    count: int,
    seed: int,
    folder: Path,
    *,
    first: int = 0,
    jobs: int = 1,
    most_layers: int = MOST_LAYERS,
    most_failures: int = 1,
    shrink_attempts: int = 80,
    emit: Emit = write_design,
    progress: Callable[[FuzzResult], None] | None = None,
) -> FuzzResult:
    """Judge random networks in RTL; parameters as :func:`search` and :class:`RtlTarget`.

    Raises
    ------
    MissingToolError
        Before anything is drawn.
    """
    return search(
        RtlTarget(most_layers, emit),
        count,
        seed,
        folder,
        first=first,
        jobs=jobs,
        most_failures=most_failures,
        shrink_attempts=shrink_attempts,
        progress=progress,
    )


def replay(case: Case, *, emit: Emit = write_design) -> Verdict:
    """Judge one case, such as :func:`systolith.fuzz.load_case` reads.

    Raises
    ------
    MissingToolError
        Before anything is built.
    """
    find_toolchain(cocotb=True)
    with tempfile.TemporaryDirectory() as builds:
        return judge(case, Path(builds), emit)
