"""Good designs pass under all stalls; every checker is seen to fail."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.bench import NONE, PATTERNS, StreamRule
from systolith.emit import Design
from systolith.verify import Verification, VerificationError, verify

WATCHDOG = 200
FIRST, SECOND = 0xE0, 0xF0
WRONG, DROP, CHANGE, WAIT, MISSING, EXTRA, HANG, STALE = range(1, 9)


@pytest.fixture(scope="module")
def good(chain: Any, workdir: Path) -> Verification:
    return verify(
        chain.design,
        chain.images,
        chain.reference,
        workdir=workdir,
        network_hash="c0ffee",
        quick=True,
    )


@pytest.fixture
def check(faulty_case: Callable[[int], Any], workdir: Path) -> Callable[..., Verification]:
    def check(code: int, **options: Any) -> Verification:
        case = faulty_case(code)
        common = {"patterns": [NONE], "watchdog_cycles": WATCHDOG, "workdir": workdir}
        options = common | {"quick": True} | options
        return verify(case.design, case.images, case.reference, **options)

    return check


def test_good_design_equals_its_reference_under_every_pattern(good: Verification) -> None:
    good.raise_if_failed()
    names = [result.stalls for result in good.patterns]
    assert names == [
        *(pattern.name for pattern in PATTERNS),
        "reset in mid-frame",
        "ready withheld",
    ]
    for result in good.patterns[:-1]:
        assert dict(result.transfers) == {"input": 144, "scale": 144, "pool": 72, "count": 72}
        assert len(result.first_input_cycle) == len(result.last_output_cycle) == 3
    cycles = [result.cycles for result in good.patterns[:-2]]
    assert cycles[0] == min(cycles)
    assert len(set(cycles)) == len(cycles)
    assert str(good).startswith("4 streams equal the reference: 3 images, 7 stall patterns")


def test_progress_sees_every_simulation(faulty_case: Callable[[int], Any], workdir: Path) -> None:
    case, seen = faulty_case(0), list[str]()
    result = verify(
        case.design,
        case.images,
        case.reference,
        patterns=[NONE],
        workdir=workdir,
        watchdog_cycles=WATCHDOG,
        quick=True,
        progress=lambda now: seen.append(now.result.stalls),
    )
    assert result.passed
    assert seen == ["none", "reset in mid-frame", "ready withheld"]


def test_first_wrong_layer_index_and_values_are_told(check: Callable[..., Verification]) -> None:
    result = check(FIRST + WRONG, patterns=[PATTERNS[1]])
    first, second = result.patterns[0].mismatches
    assert (first.layer, second.layer) == ("conv1", "conv2")
    assert (first.image, first.channel, first.row, first.column) == (0, 3, 0, 3)
    assert first.got == first.expected ^ 1
    assert first.wrong_values == 1
    assert first.cycle is not None and 7 < first.cycle < result.cycles
    message = rf"^layer 'conv1', image 0, channel 3, row 0, column 3, at cycle {first.cycle}: expec"
    with pytest.raises(VerificationError, match=r"^the design does not equal the reference:\n"):
        result.raise_if_failed()
    assert re.match(message + rf"ted {first.expected}, got {first.got}$", str(first))


def test_mismatch_in_the_last_layer_spares_those_before(
    check: Callable[..., Verification],
) -> None:
    (mismatch,) = check(SECOND + WRONG).patterns[0].mismatches
    assert mismatch.layer == "conv2"


@pytest.mark.parametrize(
    ("fault", "rule"), [(DROP, StreamRule.VALID_HOLDS), (CHANGE, StreamRule.PAYLOAD_HOLDS)]
)
@pytest.mark.parametrize(("stage", "layer"), [(FIRST, "conv1"), (SECOND, "conv2")])
def test_broken_rule_is_seen_under_back_pressure(
    check: Callable[..., Verification], stage: int, layer: str, fault: int, rule: StreamRule
) -> None:
    result = check(stage + fault, patterns=[PATTERNS[4]])
    assert (layer, rule) in [(found.layer, found.rule) for found in result.violations]


@pytest.mark.parametrize(("stage", "layer"), [(FIRST, "conv1"), (SECOND, "conv2")])
def test_valid_waiting_for_ready_is_seen(
    check: Callable[..., Verification], stage: int, layer: str
) -> None:
    result = check(stage + WAIT)
    assert all(pattern.passed for pattern in result.patterns[:-1]), "equality cannot see it"
    assert [(v.layer, v.rule) for v in result.violations] == [(layer, StreamRule.VALID_RISES_ALONE)]


@pytest.mark.parametrize(("stage", "layer"), [(FIRST, "conv1"), (SECOND, "conv2")])
def test_valid_waiting_for_ready_is_not_taken_for_starving(
    check: Callable[..., Verification], stage: int, layer: str
) -> None:
    result = check(stage + WAIT, patterns=[PATTERNS[3]])
    assert [(v.layer, v.rule) for v in result.violations] == [(layer, StreamRule.VALID_RISES_ALONE)]


def test_state_that_survives_reset_is_seen(check: Callable[..., Verification]) -> None:
    result = check(FIRST + STALE)
    assert [pattern.passed for pattern in result.patterns] == [True, False, True]
    assert result.patterns[1].mismatches[0].layer == "conv1"


@pytest.mark.parametrize(("stage", "layer"), [(FIRST, "conv1"), (SECOND, "conv2")])
def test_missing_transfer_names_the_stream_that_stopped(
    check: Callable[..., Verification], stage: int, layer: str
) -> None:
    result = check(stage + MISSING).patterns[0]
    (violation,) = result.violations
    assert (violation.layer, violation.rule) == (layer, StreamRule.NO_HANG)
    assert f"'{layer}' 47 of 48 transfers" in violation.detail
    assert result.mismatches[0].layer == layer


@pytest.mark.parametrize(("stage", "layer"), [(FIRST, "conv1"), (SECOND, "conv2")])
def test_extra_transfer_is_seen(check: Callable[..., Verification], stage: int, layer: str) -> None:
    result = check(stage + EXTRA).patterns[0]
    violation = result.violations[0]
    assert (violation.layer, violation.rule) == (layer, StreamRule.NO_EXTRA_TRANSFER)
    assert str(violation).endswith("48 transfers were expected")
    assert not result.mismatches


@pytest.mark.parametrize(("stage", "layer"), [(FIRST, "conv1"), (SECOND, "conv2")])
def test_hang_names_the_stream_that_stopped(
    check: Callable[..., Verification], stage: int, layer: str
) -> None:
    result = check(stage + HANG).patterns[0]
    (violation,) = result.violations
    assert (violation.layer, violation.rule) == (layer, StreamRule.NO_HANG)
    assert violation.detail.startswith("no transfer for 200 cycles; 'input' ")
    assert f"'{layer}' 7 of 48 transfers (valid=0, ready=1)" in violation.detail


def test_all_problems_of_the_inputs_are_told_at_once(chain: Any, workdir: Path) -> None:
    reference = {"input": chain.images[:2], "pool": chain.reference["pool"].astype(float)}
    message = (
        r"^cannot verify: images of type int8 must lie in -128\.\.127, got \d+\.\.\d+; "
        r"layer 'input': the reference must have shape \(3, 4, 4, 6\), got \(2, 4, 4, 6\); "
        r"the reference lacks layer 'scale', whose stream is to be compared; "
        r"layer 'pool': the reference must be integers, got float64; "
        r"the reference lacks layer 'count', whose stream is to be compared; "
        r"the design computes network c0ffee, but the reference is of network beef$"
    )
    with pytest.raises(ValueError, match=message):
        verify(
            chain.design,
            np.abs(chain.images) + 1,
            reference,
            workdir=workdir,
            network_hash="beef",
        )


def test_reference_of_other_images_is_refused(chain: Any, workdir: Path) -> None:
    message = r"^cannot verify: the reference's 'input' must be equal to the images$"
    with pytest.raises(ValueError, match=message):
        verify(chain.design, chain.images[::-1], chain.reference, workdir=workdir)


def test_same_seed_gives_the_same_simulation(
    check: Callable[..., Verification], faulty: Design
) -> None:
    runs = [check(0, patterns=[PATTERNS[1]], seed=seed) for seed in (5, 5, 6)]
    cycles = [run.patterns[0].last_output_cycle for run in runs]
    assert cycles[0] == cycles[1] != cycles[2]
