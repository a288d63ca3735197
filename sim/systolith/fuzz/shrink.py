"""From a case that fails to the simplest one that fails in the same way; by hypothesis."""

from collections.abc import Callable, Iterable, Sequence

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase, choices_to_bytes

from systolith.fuzz.case import Case, draw_case
from systolith.fuzz.choices import Drawn
from systolith.fuzz.verdict import Verdict

__all__ = ["shrunk"]


class _Start(ExampleDatabase):
    """Has the one example from which shrinking begins, and learns nothing."""

    def __init__(self, made: Sequence[int]) -> None:
        super().__init__()
        # one choice too many, or hypothesis would take it for one that was shrunk before
        self._example = choices_to_bytes([*made, 0])

    def fetch(self, key: bytes) -> Iterable[bytes]:
        yield self._example

    def save(self, key: bytes, value: bytes) -> None:
        pass

    def delete(self, key: bytes, value: bytes) -> None:
        pass


@st.composite
def _drawings(draw: st.DrawFn, most_layers: int) -> tuple[Case, list[int]]:
    choices = Drawn(draw)
    return draw_case(choices, most_layers), choices.made


class _StillFailsError(Exception):
    """For hypothesis: this is what it shall keep."""


class _EnoughError(BaseException):
    """Past hypothesis, which holds any Exception for a case that fails."""


def shrunk(
    case: Case,
    verdict: Verdict,
    made: Sequence[int],
    most_layers: int,
    judged: Callable[[Case], Verdict],
    *,
    attempts: int,
) -> tuple[Case, Verdict]:
    """Find a simpler case with a finding of the same kind.

    Parameters
    ----------
    case, verdict : Case, Verdict
        The one that fails.
    made : sequence of int
        The choices that drew it.
    most_layers : int
        As it was drawn.
    judged : callable
        Judges a case.
    attempts : int
        Cases to judge at most.

    Returns
    -------
    Case, Verdict
        The simplest found, perhaps the first.
    """
    verdicts = {case.key: verdict}
    best, found = case, verdict

    def attempt(drawing: tuple[Case, list[int]]) -> None:
        nonlocal best, found, made
        case, choices = drawing
        if case.key not in verdicts:
            if len(verdicts) > attempts:
                raise _EnoughError
            verdicts[case.key] = judged(case)
        if not verdicts[case.key].kinds & verdict.kinds:
            return
        best, found, made = case, verdicts[case.key], choices
        raise _StillFailsError

    start = None
    while start != best.key:  # hypothesis gives up after a few minutes, though there may be more
        start = best.key
        try:
            _settings(made)(given(_drawings(most_layers))(attempt))()
        except _StillFailsError:
            pass
        except _EnoughError:
            break
    return best, found


def _settings(made: Sequence[int]) -> settings:
    return settings(
        phases=(Phase.reuse, Phase.shrink),
        database=_Start(made),
        deadline=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
