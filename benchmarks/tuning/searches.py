"""The search of examples/digits_tune.toml against random search, as many evaluations each.

python -m benchmarks.tuning.searches --work FOLDER

Measurements are shared by all studies, as they depend on points only; each study counts its own.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.results import write_result
from systolith.config import ObjectiveName, check_experiment, merge_tables, read_content
from systolith.tune import Study, Workers

ROOT = Path(__file__).parent.parent.parent
CONFIG = ROOT / "examples" / "digits_tune.toml"
RESULTS = Path(__file__).parent / "results"
ALIKE = {"minutes": 1000.0, "fidelities": [0.1]}
"""Trainings are short here, so masks without training would cost nearly as much."""
RANDOM = {"sampler": "random", "candidates": 1, "warm_start": False}


def studied(name: str, changes: Mapping[str, Any], work: Path, workers: Workers) -> Study:
    """Run a study in a folder of its own, with the measurements of all."""
    content = merge_tables(read_content(CONFIG), {"tune": {**ALIKE, **changes}})
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    for shared in ("evaluations", "dense"):
        (work / shared).mkdir(exist_ok=True)
        if not (folder / shared).exists():
            (folder / shared).symlink_to(work.resolve() / shared)
    study = Study(content, check_experiment(content, CONFIG), CONFIG.parent, folder, workers)
    study.run(plan_front=False)
    return study


def better_than_uniform(study: Study, pattern: str) -> int:
    """Count designs more accurate than a uniform one, and nowhere worse than it."""
    designs = study.designs.all(exact=False)
    accuracy, found = study.section.objectives.index(ObjectiveName.ACCURACY), set()
    for uniform in designs:
        labels = {label for name, label in uniform.point.items() if name.endswith(" pattern")}
        if uniform.origin != "uniform" or labels != {pattern}:
            continue
        for design in designs:
            values = study.designs.losses([uniform, design])
            if values[1][accuracy] < values[0][accuracy] and (values[1] <= values[0]).all():
                found.add(design.name)
    return len(found)


def table_rows(found: Mapping[str, Any]) -> Iterator[str]:
    """Quartiles of both, and their medians' studies."""
    yield "| hypervolume | first quartile | median | third quartile |"
    yield "|---|---|---|---|"
    for name, values in found["quartiles"].items():
        yield f"| {name} | {' | '.join(f'{value:.4f}' for value in values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    rows = []
    with Workers(arguments.jobs, seconds=600) as workers:
        for seed in range(arguments.seeds):
            one = {"points": arguments.points, "seed": seed}
            search = studied(f"search-{seed}", one, arguments.work, workers)
            # Measuring sensitivity counts as much as training.
            evaluations = arguments.points + 1 + len(search.sensitivity.by_option)
            options = {**RANDOM, "points": evaluations, "seed": seed}
            random = studied(f"random-{seed}", options, arguments.work, workers)
            rows.append(
                {
                    "seed": seed,
                    "evaluations": evaluations,
                    "search": search.designs.hypervolume(exact=False),
                    "search_trained": len(search.trials.complete),
                    "random": random.designs.hypervolume(exact=False),
                    "random_trained": len(random.trials.complete),
                    "better_than_uniform": better_than_uniform(search, "1-out-of-4 shared by 2"),
                }
            )
            print(rows[-1], flush=True)
    table = Table("hypervolume", "first quartile", "median", "third quartile")
    summary = {}
    for name in ("search", "random"):
        summary[name] = quantiles([row[name] for row in rows], n=4, method="inclusive")
        table.add_row(name, *(f"{value:.4f}" for value in summary[name]))
    Console().print(table)
    command = (
        f"python -m benchmarks.tuning.searches --work FOLDER --points {arguments.points} "
        f"--seeds {arguments.seeds}"
    )
    write_result(RESULTS / "searches.json", command, {"quartiles": summary, "studies": rows})


if __name__ == "__main__":
    main()
