"""TFLite files in RTL: the results of simulations, as a table.

systolith import FILE.tflite -o FOLDER/NAME
systolith simulate FOLDER/NAME/network.json --images 4 --multipliers N -o FOLDER/NAME/out
python -m benchmarks.tflite.rtl --folder FOLDER
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.results import write_result
from benchmarks.tflite.table import RTL_RESULTS

COMMAND = "python -m benchmarks.tflite.rtl"


def read_report(path: Path) -> dict[str, Any]:
    """Take what the table needs from a report of ``systolith simulate``."""
    report = json.loads(path.read_text())
    checked, performance = report["verification"], report["performance"]
    return {
        "multipliers": performance["budget"]["multipliers"],
        "images": checked["images"],
        "passed": checked["passed"],
        "cycles_predicted": checked["cycles_predicted"],
        "cycles_simulated": checked["cycles_simulated"],
        "resources": performance["resources"],
        "network_hash": report["design"]["network_hash"],
    }


def main() -> None:
    """Collect the reports of a folder and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of simulated networks")
    folder = parser.parse_args().folder
    rows = {}
    for path in sorted(folder.glob("*/out/report.json")):
        name = json.loads(path.read_text())["name"]
        rows[name] = read_report(path)
    write_result(RTL_RESULTS, COMMAND, {"files": dict(sorted(rows.items()))})


if __name__ == "__main__":
    main()
