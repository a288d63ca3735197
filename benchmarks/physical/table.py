"""Tables of what was measured on FPGAs, for the documentation."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from systolith.build import find_tools
from systolith.devices import find_part

__all__ = ["array_rows", "model_rows", "network_rows"]

RESULTS = Path(__file__).parent / "results"
YARDSTICKS = (
    ("NN2FPGA, ResNet-8 8 bits, KV260 (at most this many DSPs)", 1248, "", 30153),
    ("NN2FPGA, ResNet-8 8 bits, Ultra96 (at most this many DSPs)", 360, "", 12971),
    ("fpgaConvNet, ResNet-8 8 bits, ZC706", 525, "187 MHz", 6790),
    ("fpgaConvNet, ResNet-8 8 bits, ZedBoard", 211, "", 2431),
    ("fpgaConvNet, ResNet-8 8 bits, ZyBo", 78, "", 317),
    ("FINN, CNV 1 bit", None, "", 661),
    ("hls4ml, RN08", None, "", 131),
)
"""Published for networks of MLPerf Tiny: multipliers, clock, images per second."""


def array_rows() -> Iterator[str]:
    """List the arrays that were placed alone."""
    yield "| array | speed | clocks, MHz | median | LUTs | flip-flops |"
    yield "|---|---|---|---|---|---|"
    for path in sorted(RESULTS.glob("array-*.json"), key=lambda each: (len(each.stem), each.stem)):
        found, used = _read(path)
        clocks = ", ".join(f"{clock:.0f}" for clock in found["fmax_mhz"])
        speed = found["part"].split()[2]
        yield (
            f"| {found['array']} | {speed} | {clocks} | {found['fmax_mhz_median']:.0f} | "
            f"{used['LUTs']:,} | {used['flip-flops']:,} |"
        )


def network_rows() -> Iterator[str]:
    """List the networks that were placed, and what others have published."""
    yield (
        "| network | device | LUTs | per multiplier | DSPs | block RAMs | clock | cycles | "
        "frames/s | per DSP |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for path in sorted(RESULTS.glob("*-speed*.json")):
        found, used = _read(path)
        if "network" not in found:
            continue
        yield (
            f"| {found['network']} | {found['part']} | {used['LUTs']:,} | "
            f"{found['luts_per_multiplier']:.0f} | {used['multipliers']} | {used['block RAMs']} | "
            f"{_clock(found)} | {found['cycles_per_frame']:,} | {_rates(found)} |"
        )
    for name, dsps, clock, rate in YARDSTICKS:
        per_dsp = f"{rate / dsps:.1f}" if dsps else ""
        yield f"| {name} | | | | {dsps or ''} | | {clock} | | {rate:,} | {per_dsp} |"


def _rates(found: Mapping[str, Any]) -> str:
    """Frames per second, and per multiplier; unknown where the clock leaves paths out."""
    if found.get("untimed"):
        return " | "
    return f"{found['frames_per_second']:,} | {found['frames_per_second_and_dsp']:.1f}"


def _clock(found: Mapping[str, Any]) -> str:
    """Describe the clock of the best seed, the median of several, and what it leaves out."""
    clocks = found["fmax_mhz"].values()
    several = f", median of {len(clocks)} seeds {found['fmax_mhz_median']:.1f}"
    untimed = f" without {found['untimed']}" if found.get("untimed") else ""
    return f"{max(clocks):.1f} MHz{several if len(clocks) > 1 else ''}{untimed}"


def model_rows(designs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """List how far the models are off, the designs that they were not fitted to first."""
    kinds = {
        "luts": "LUTs",
        "flip_flops": "flip-flops",
        "dsps": "multipliers",
        "block_rams": "block RAMs",
        "fmax_mhz": "clock, MHz",
    }
    yield f"| design | held back | {' | '.join(kinds.values())} |"
    yield f"|---|---|{'---|' * len(kinds)}"
    for row in sorted(designs, key=lambda row: not row["held_back"]):
        cells = [
            f"{row[kind]['made']:,.0f} ({row[kind]['error']:+.1%})" if kind in row else ""
            for kind in kinds
        ]
        yield f"| {row['design']} | {'yes' if row['held_back'] else ''} | {' | '.join(cells)} |"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a result, and count its resources by the names that all families share."""
    found = json.loads(path.read_text())
    device = find_part(found["part"].split()[0]).device
    uses = find_tools(device).uses(device, found["used"])
    return found, {use.name: use.used for use in uses}
