"""Fit the models of area and clock to synthesized and placed designs, and show their errors.

python -m benchmarks.physical.calibrate --work FOLDER

Designs that the results folder knows, made of the same Verilog, are not made again.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy.optimize import nnls

from benchmarks.physical.designs import DESIGNS, PhysicalDesign
from benchmarks.results import write_result
from systolith.build import TOP, emit_verilog
from systolith.fpga import cells_by_engine, place, synthesize
from systolith.gateware import Technology, signal_name
from systolith.plan import NetworkPlan, logic
from systolith.plan.stages import StagePlan

RESULTS = Path(__file__).parent / "results" / "calibration"
TARGET_MHZ = 200.0
"""More than can be reached, so that the tools do not rest early."""
SEED = 1
COMMAND = "python -m benchmarks.physical.calibrate"

Found = Mapping[str, Any]


def collect(design: PhysicalDesign, work: Path, *, placing: bool) -> tuple[NetworkPlan, Found]:
    """Synthesize a design, and place it if its clock counts; or find what was made before."""
    plan, path = design.plan(), RESULTS / f"{design.name}.json"
    verilog = emit_verilog(plan, technology=Technology.ECP5)
    key = hashlib.sha256(verilog.encode()).hexdigest()
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("verilog") != key:
        known = {}
    folder, netlist = work / design.name, work / design.name / f"{TOP}.json"
    if "engines" not in known:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{TOP}.v").write_text(verilog)
        synthesize([f"{TOP}.v"], TOP, folder, design.part.device)
        counts = {name: asdict(each) for name, each in cells_by_engine(netlist).items()}
        known = {"design": asdict(design), "verilog": key, "engines": counts}
        write_result(path, COMMAND, known)
    if placing and design.placed and "fmax_mhz" not in known:
        if not netlist.exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{TOP}.v").write_text(verilog)
            synthesize([f"{TOP}.v"], TOP, folder, design.part.device)
        report = place(netlist, design.part, freq_mhz=TARGET_MHZ, seed=SEED)
        used = {kind: count for kind, count in report.used.items() if count}
        words = report.path.words() if report.path else None
        known = {**known, "fmax_mhz": report.fmax_mhz, "placed": used, "critical_path": words}
        write_result(path, COMMAND, known)
    return plan, known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="folder that keeps what the tools wrote")
    parser.add_argument("--no-place", action="store_true", help="areas only")
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


if __name__ == "__main__":
    main()
