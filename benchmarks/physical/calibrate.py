"""Fit the models of area and clock to synthesized and placed designs, and show their errors.

python -m benchmarks.physical.calibrate --work FOLDER

Designs that the results folder knows, made of the same Verilog, are not made again.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from scipy.optimize import nnls

from benchmarks.physical.designs import DESIGNS, PhysicalDesign
from benchmarks.physical.operators import operator_engines
from benchmarks.physical.table import model_rows
from benchmarks.results import write_result
from systolith.build import build_bitstream, cells_by_engine, estimate_cells
from systolith.devices import Resources
from systolith.emit import TOP, emit_verilog
from systolith.gateware import Technology
from systolith.plan import NetworkPlan, signal_name
from systolith.plan.area import clock, logic

RESULTS = Path(__file__).parent / "results" / "calibration"
TARGET_MHZ = 200.0
"""More than can be reached, so that the tools do not rest early."""
SPREAD = 1.5
"""Of the extents that a clock is fitted to: a slope of designs that are alike means nothing."""
GUESSED, THING = 50, 20
"""Bits of a guess; what is guessed of a thing that has no bits."""
SMALL = 200
"""Engines that take less than this count for less."""
COMMAND = "python -m benchmarks.physical.calibrate"

Found = Mapping[str, Any]
Fitted = Mapping[str, Mapping[str, float]]
Clock = Mapping[str, float]


def collect(design: PhysicalDesign, work: Path, *, placing: bool) -> tuple[NetworkPlan, Found]:
    """Synthesize a design, and place it if its clock counts; or find what was made before."""
    plan, path = design.plan(), RESULTS / f"{design.name}.json"
    folder = work / design.name
    verilog = emit_verilog(plan, technology=Technology.ECP5)
    key = hashlib.sha256(verilog.encode()).hexdigest()
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("verilog") != key:
        known = {}
    to_place = placing and design.placed and "fmax_mhz" not in known
    if "engines" not in known:
        estimate_cells(verilog, TOP, design.part.device, folder)
        counts = cells_by_engine(folder / f"{TOP}.json")
        engines = {name: asdict(each) for name, each in counts.items()}
        known = {"design": asdict(design), "verilog": key, "engines": engines}
        write_result(path, COMMAND, known)
    if to_place:
        report = build_bitstream(verilog, TOP, design.part, folder, freq_mhz=TARGET_MHZ).best
        used = {kind: count for kind, count in report.used.items() if count}
        words = report.path.words() if report.path else None
        known = {**known, "fmax_mhz": report.fmax_mhz, "placed": used, "critical_path": words}
        write_result(path, COMMAND, known)
    return plan, known


def fit(rows: Sequence[tuple[Mapping[str, int], int]]) -> dict[str, float]:
    """Find what one of each part takes, by least squares of relative errors, none less than 0.

    Parameters
    ----------
    rows : sequence
        Of each engine: its parts, and what it was found to take.
    """
    names = sorted({name for parts, _ in rows for name in parts})
    # A part that few engines have, or always beside another, is taken to be as one would guess.
    rows = [*rows, *(({name: count}, guess) for name in names for count, guess in [_guess(name)])]
    parts = np.array([[row.get(name, 0) for name in names] for row, _ in rows], dtype=float)
    taken = np.array([count for _, count in rows], dtype=float)
    weight = 1 / (taken + SMALL)
    each, _ = nnls(parts * weight[:, None], taken * weight)
    return {name: round(float(value), 4) for name, value in zip(names, each, strict=True)}


def _guess(part: str) -> tuple[int, int]:
    """Some of a part, and what they take: each bit one, each thing some."""
    return (GUESSED, GUESSED) if part.endswith("bits") or part.isupper() else (1, THING)


def fit_logic(found: Sequence[tuple[PhysicalDesign, NetworkPlan, Found]]) -> Fitted:
    """Fit LUTs and flip-flops to engines: of designs, and of operators, that are not held back."""
    engines = [
        (stage, design.reloadable, known["engines"][signal_name(stage.name)])
        for design, plan, known in found
        if not design.held_back
        for stage in plan.stages
        if signal_name(stage.name) in known["engines"]
    ]
    engines += [(stage, False, counts) for stage, counts in operator_engines(held_back=False)]
    luts = [
        (logic.lut_parts(stage, reloadable=reloadable), counts["luts"])
        for stage, reloadable, counts in engines
    ]
    flip_flops = [
        (logic.flip_flop_parts(stage, reloadable=reloadable), counts["flip_flops"])
        for stage, reloadable, counts in engines
    ]
    fitted = {"luts": fit(luts), "flip_flops": fit(flip_flops)}
    _write(Path(logic.__file__).parent / logic.FITTED, fitted)
    return fitted


def fit_clock(found: Sequence[tuple[PhysicalDesign, NetworkPlan, Found]], fitted: Fitted) -> Clock:
    """Fit base and slope to the placed designs that are not held back."""
    placed = [
        (_extent(design, _planned(design, plan, fitted)), known["fmax_mhz"])
        for design, plan, known in found
        if "fmax_mhz" in known and not design.held_back
    ]
    extents = [extent for extent, _ in placed]
    if not placed or max(extents) < SPREAD * min(extents):
        raise SystemExit(
            f"the clock is fitted to designs that differ {SPREAD} times in extent, got "
            f"{', '.join(f'{extent:,.0f}' for extent in extents)}; place more, or --fit area"
        )
    extent, fmax_mhz = np.log(np.array(placed, dtype=float)).T
    slope, base = np.polyfit(extent, fmax_mhz, 1)
    content = {"base_mhz": round(float(np.exp(base)), 1), "slope": round(float(-slope), 4)}
    _write(Path(clock.__file__).parent / clock.FITTED, content)
    return content


def errors(
    found: Sequence[tuple[PhysicalDesign, NetworkPlan, Found]], fitted: Fitted, clock_fit: Clock
) -> list[dict[str, Any]]:
    """Compare models and designs: what was made, what was planned, by how much that is more."""
    rows = []
    for design, plan, known in found:
        planned = _planned(design, plan, fitted)
        row: dict[str, Any] = {"design": design.name, "held_back": design.held_back}
        for kind, number in planned.items():
            made = sum(each[kind] for each in known["engines"].values())
            row[kind] = {"made": made, "planned": number, "error": number / made - 1}
        if "fmax_mhz" in known:
            made = known["fmax_mhz"]
            number = clock_fit["base_mhz"] * _extent(design, planned) ** -clock_fit["slope"]
            row["fmax_mhz"] = {"made": made, "planned": number, "error": number / made - 1}
        rows.append(row)
    return rows


def _planned(design: PhysicalDesign, plan: NetworkPlan, fitted: Fitted) -> dict[str, int]:
    reloadable, stages = design.reloadable, plan.stages
    luts = [logic.lut_parts(stage, reloadable=reloadable) for stage in stages]
    flip_flops = [logic.flip_flop_parts(stage, reloadable=reloadable) for stage in stages]
    return {
        "luts": _total(luts, fitted["luts"]),
        "flip_flops": _total(flip_flops, fitted["flip_flops"]),
        "dsps": plan.resources.dsps,
        "block_rams": plan.resources.block_rams,
    }


def _extent(design: PhysicalDesign, planned: Mapping[str, int]) -> float:
    return clock.extent_of(Resources(**planned), design.part.device)


def _total(stages: Iterable[Mapping[str, int]], each: Mapping[str, float]) -> int:
    return round(sum(logic.weigh(parts, each) for parts in stages))


def _read(module: ModuleType, name: str) -> Any:
    """Read what was fitted before."""
    return json.loads((Path(str(module.__file__)).parent / name).read_text())


def _write(path: Path, content: object) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="folder that keeps what the tools wrote")
    parser.add_argument("--no-place", action="store_true", help="areas only")
    parser.add_argument(
        "--fit",
        nargs="*",
        choices=("area", "clock"),
        default=("area", "clock"),
        help="models to fit, both by default; the errors of the others are shown as they are",
    )
    parser.add_argument("--only", nargs="+", help="make these designs, and fit nothing")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp())
    console = Console()
    found = []
    for design in DESIGNS:
        if arguments.only and design.name not in arguments.only:
            continue
        console.print(f"[bold]{design.name}[/]")
        found.append((design, *collect(design, work, placing=not arguments.no_place)))
    if arguments.only:
        return
    fitted = fit_logic(found) if "area" in arguments.fit else _read(logic, logic.FITTED)
    if "clock" in arguments.fit:
        clock_fit = fit_clock(found, fitted)
    else:
        clock_fit = _read(clock, clock.FITTED)
    rows = errors(found, fitted, clock_fit)
    for line in model_rows(rows):
        console.print(line)
    command = " ".join([COMMAND, "--fit", *arguments.fit])
    write_result(RESULTS.parent / "models.json", command, {"designs": rows})


if __name__ == "__main__":
    main()
