"""A whole network on an FPGA: what it takes, how fast its clock is, how many frames a second.

python -m benchmarks.physical.network resnet8-1of4 --cycles 32768 --device ecp5-85f --freq 120
python -m benchmarks.physical.network digits --cycles 3072 --device gw2ar-18 --freq 60
"""

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.physical.designs import PLACEABLE, find_network
from benchmarks.results import write_result
from systolith.build import BuildResult, Placer, Router, build_bitstream, find_tools
from systolith.devices import Part, find_part
from systolith.emit import TOP, emit_alone
from systolith.plan import NetworkPlan, plan_network

RESULTS = Path(__file__).parent / "results"


def measure(
    plan: NetworkPlan,
    part: Part,
    freq: float,
    seeds: int,
    folder: Path,
    *,
    jobs: int = 1,
    placer: Placer = Placer.AUTO,
    router: Router = Router.AUTO,
    limit_s: float | None = None,
) -> dict[str, Any]:
    """Generate, synthesize once, place with several seeds."""
    console = Console(stderr=True)
    verilog, constraints = emit_alone(plan, part)
    placed = build_bitstream(
        verilog,
        TOP,
        part,
        folder,
        freq_mhz=freq,
        seeds=seeds,
        jobs=jobs,
        placer=placer,
        router=router,
        limit_s=limit_s,
        constraints=constraints,
        progress=lambda now: console.print(f"{now.done}/{now.total} {now.text}"),
    )
    return summarize(plan, part, freq, placed)


def summarize(plan: NetworkPlan, part: Part, freq: float, placed: BuildResult) -> dict[str, Any]:
    """Name resources alike on all families, as JSON values."""
    best, tools = placed.best, find_tools(part.device)
    frames = best.fmax_mhz * 1e6 / plan.cycles_per_frame
    uses = tools.uses(part.device, best.used)
    used = {use.name: use.used for use in uses}
    return {
        "part": str(part),
        "cycles_per_frame": plan.cycles_per_frame,
        "multipliers": plan.multipliers,
        "utilization": round(plan.utilization, 4),
        "target_mhz": freq,
        "fmax_mhz": {seed: round(each.fmax_mhz, 1) for seed, each in placed.reports.items()},
        "fmax_mhz_median": round(placed.median_mhz, 1),
        "best_seed": placed.best_seed,
        "placer": placed.placer,
        "best_router": placed.best_attempt.router,
        "routes": {str(run): round(each.fmax_mhz, 1) for run, each in placed.routes.items()},
        "unfinished": [str(run) for run in placed.unfinished],
        "bitstream": placed.bitstream is not None,
        "untimed": tools.untimed,
        "tools": {name: tool.version for name, tool in placed.programs.items()},
        "frames_per_second": round(frames),
        "resources": [asdict(use) for use in uses],
        "used": {kind: count for kind, count in best.used.items() if count},
        "available": {kind: best.available[kind] for kind, count in best.used.items() if count},
        "luts_per_multiplier": round(used["LUTs"] / plan.multipliers, 1),
        "frames_per_second_and_dsp": round(frames / used["multipliers"], 2),
        "critical_path": best.path.words() if best.path else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=sorted(PLACEABLE))
    parser.add_argument("--cycles", type=int, required=True, help="per frame")
    parser.add_argument("--device", default="ecp5-85f")
    parser.add_argument("--speed", type=int, help="grade; the device's first one by default")
    parser.add_argument("--freq", type=float, default=120.0, help="what nextpnr aims at, MHz")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time")
    parser.add_argument("--placer", type=Placer, choices=list(Placer), default=Placer.AUTO)
    parser.add_argument("--router", type=Router, choices=list(Router), default=Router.AUTO)
    parser.add_argument("--time-limit", type=float, metavar="MINUTES")
    parser.add_argument("--work", type=Path, help="folder that keeps what the tools wrote")
    arguments = parser.parse_args()
    part = find_part(arguments.device, speed=arguments.speed)
    network = find_network(arguments.network)
    plan = plan_network(network, budget=part.device.budget, cycles=arguments.cycles)
    folder = arguments.work or Path(tempfile.mkdtemp())
    limit = arguments.time_limit
    found = measure(
        plan,
        part,
        arguments.freq,
        arguments.seeds,
        folder,
        jobs=arguments.jobs,
        placer=arguments.placer,
        router=arguments.router,
        limit_s=None if limit is None else 60 * limit,
    )
    Console().print(found)
    arguments.speed = part.speed
    options = ("cycles", "device", "speed", "freq", "seeds", "placer", "router")
    given = " ".join(f"--{name} {getattr(arguments, name)}" for name in options)
    command = f"python -m benchmarks.physical.network {arguments.network} {given}"
    name = f"{arguments.network}-{arguments.cycles}-{part.device.name}-speed{part.speed}"
    write_result(RESULTS / f"{name}.json", command, {"network": arguments.network, **found})


if __name__ == "__main__":
    main()
