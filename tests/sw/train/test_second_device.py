"""Every step keeps its tensors on one device, on a simulated GPU; results equal those of the CPU.

No GPU is needed, and none is tested.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("on_second_device.py")
PART = ("resume", "dpp", "gdp")
ALL = ("sr-ste, joint", "spp", "obs", "djpq", "lfe", "particles")


@pytest.mark.parametrize("names", [PART, pytest.param(ALL, marks=pytest.mark.slow)])
def test_results_equal_those_of_the_cpu(names: tuple[str, ...]) -> None:
    command = [sys.executable, str(SCRIPT), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert len(results) >= len(names) and all(results.values()), results
