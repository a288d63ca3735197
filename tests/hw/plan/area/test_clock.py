"""The estimate of the clock frequency."""

import re

import pytest

from systolith.devices import DEVICES, Resources
from systolith.plan import SPEED_FACTORS, estimate_fmax_mhz

DEVICE = DEVICES["ecp5-45f"]
TAKEN = Resources(luts=5_000, dsps=10, block_rams=10)


def test_a_larger_design_is_slower_and_a_faster_grade_is_faster() -> None:
    sizes = [Resources(luts=luts) for luts in (1_000, 5_000, 20_000, 40_000)]
    by_size = [estimate_fmax_mhz(taken, DEVICE) for taken in sizes]
    assert by_size == sorted(by_size, reverse=True) and len(set(by_size)) == 4
    by_grade = [estimate_fmax_mhz(TAKEN, DEVICE, speed=speed) for speed in sorted(SPEED_FACTORS)]
    assert by_grade == sorted(by_grade) and len(set(by_grade)) == 3


@pytest.mark.parametrize("kind", ["dsps", "block_rams", "flip_flops"])
def test_what_is_spread_out_is_slower_however_few_its_luts(kind: str) -> None:
    most = {"flip_flops": DEVICE.ffs}.get(kind) or getattr(DEVICE, kind)
    assert estimate_fmax_mhz(Resources(luts=100, **{kind: most}), DEVICE) == estimate_fmax_mhz(
        Resources(luts=DEVICE.luts), DEVICE
    )


def test_a_12f_is_a_25f_inside() -> None:
    assert estimate_fmax_mhz(TAKEN, DEVICES["ecp5-12f"]) == estimate_fmax_mhz(
        TAKEN, DEVICES["ecp5-25f"]
    )


def test_all_that_is_no_design_is_refused() -> None:
    message = (
        "the model is of ECP5 devices only, got ice40-hx8k; speed must be one of 6, 7, 8, got 5; "
        "a design must take something"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        estimate_fmax_mhz(Resources(), DEVICES["ice40-hx8k"], speed=5)
