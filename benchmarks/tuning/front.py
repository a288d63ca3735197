"""The front of a search, and what became of designs that were picked from it and built.

systolith tune CONFIG.toml -o STUDY
systolith tune pick STUDY fps -o fps.toml; systolith run fps.toml
python -m benchmarks.tuning.front NAME --study STUDY --built fps=out/NAME_NUMBER ...
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import write_result
from systolith.tune import find_design, load_summary

RESULTS = Path(__file__).parent / "results"


def built(design: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """Put what the search said of a design beside what it came to."""
    said, placed = design["values"], report["build"]
    checks = report["verification"]
    return {
        "design": design["number"],
        "choices": design["choices"],
        "accuracy": {"search": said["accuracy"], "test": report["accuracy"]["rtl"]},
        "verified": checks["passed"],
        "cycles": {
            "search": said["cycles"],
            "planned": report["performance"]["cycles_per_frame"],
            "all_predicted": checks["cycles_predicted"],
            "all_simulated": checks["cycles_simulated"],
        },
        "luts": {"search": said["luts"], "placed": placed["used"]["TRELLIS_COMB"]},
        "dsps": {"search": said["dsps"], "placed": placed["used"]["MULT18X18D"]},
        "block_rams": {"search": said["block_rams"], "placed": placed["used"]["DP16KD"]},
        "fmax_mhz": placed["fmax_mhz_best"],
    }


def built_rows(designs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Table of built designs."""
    yield (
        "| best by | accuracy, search and test | cycles, search and RTL | LUTs, search and placed "
        "| multipliers | block RAMs | MHz |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, row in designs.items():
        luts, dsps, rams = row["luts"], row["dsps"], row["block_rams"]
        yield (
            f"| {name} | {row['accuracy']['search']:.2%}, {row['accuracy']['test']:.2%} "
            f"| {row['cycles']['search']:,}, {row['cycles']['planned']:,} "
            f"| {luts['search']:,.0f}, {luts['placed']:,} "
            f"({luts['search'] / luts['placed'] - 1:+.1%}) "
            f"| {dsps['search']:.0f}, {dsps['placed']} | {rams['search']:.0f}, {rams['placed']} "
            f"| {row['fmax_mhz']:.1f} |"
        )


def front_rows(front: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Table of a front's ends; of equals, the most accurate."""
    yield "| best by | design | accuracy | frames/s | LUTs | multipliers | model bits |"
    yield "|---|---|---|---|---|---|---|"
    for name, sign in (("accuracy", -1), ("fps", -1), ("luts", 1), ("dsps", 1), ("model_bits", 1)):
        losses = [(sign * point["values"][name], -point["values"]["accuracy"]) for point in front]
        point = front[losses.index(min(losses))]
        values = point["values"]
        yield (
            f"| {name} | {point['number']} | {values['accuracy']:.2%} | {values['fps']:,.0f} "
            f"| {values['luts']:,.0f} | {values['dsps']:.0f} | {values['model_bits']:,.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--built", nargs="*", default=[], metavar="OBJECTIVE=FOLDER")
    arguments = parser.parse_args()
    account = load_summary(arguments.study)
    designs = {}
    for given in arguments.built:
        objective, _, folder = given.partition("=")
        report = json.loads((Path(folder) / "report.json").read_text())
        designs[objective] = built(find_design(account, objective), report)
    front = [
        {key: point[key] for key in ("number", "origin", "exact", "values", "choices")}
        for point in account["points"]
        if point["front"]
    ]
    content = {
        key: account[key]
        for key in ("seconds", "evaluations", "states", "hypervolume", "history", "importance")
    }
    command = f"python -m benchmarks.tuning.front {arguments.name} --study STUDY --built ..."
    found = {**content, "built": designs, "front": front}
    write_result(RESULTS / f"{arguments.name}.json", command, found)
    for line in built_rows(designs):
        print(line)


if __name__ == "__main__":
    main()
