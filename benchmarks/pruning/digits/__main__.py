"""Measure families of methods on digits and write result files."""

import argparse
from collections.abc import Mapping
from importlib import import_module

import torch

from benchmarks.pruning.digits.bench import SEEDS, Trial, run_trials
from benchmarks.pruning.workbench import RESULTS
from benchmarks.results import write_result

FAMILIES = (
    *("masks", "curves", "patterns", "filters"),
    *("searches", "widths", "posttraining", "training"),
)
"""Each is a module with TRIALS: trials by name, methods and their ablations."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pruning.digits", description=__doc__
    )
    parser.add_argument("names", nargs="+", choices=FAMILIES, metavar="NAME", help=str(FAMILIES))
    parser.add_argument("--only", nargs="*", help="run these trials, and write no file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names:
        trials: Mapping[str, Trial] = import_module(f"benchmarks.pruning.digits.{name}").TRIALS
        if arguments.only is not None:
            run_trials({trial: trials[trial] for trial in arguments.only})
            continue
        rows = run_trials(trials)
        content = {"network": "DigitsCNN", "seeds": list(SEEDS), "trials": rows}
        command = f"python -m benchmarks.pruning.digits {name}"
        write_result(RESULTS / f"digits-{name}.json", command, content)


if __name__ == "__main__":
    main()
