"""Extras: what each brings, and what commands say where one is not installed."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from systolith.cli.commands.diagnosis import MAIN_EXTRAS
from systolith.cli.errors.extras import EXTRAS, extra_of
from systolith.network import save
from tests.support.networks import small_network

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXPERIMENT = ROOT / "examples/digits.toml"
NEEDED = {
    "train": (
        *(f"{stage} {EXPERIMENT}" for stage in ("run", "train", "prune", "quantize", "lower")),
        f"tune {EXPERIMENT}",
        "fuzz --door pytorch --count 1",
        "zoo get jet_mlp",
    ),
    "simulate": (
        f"run {EXPERIMENT}",
        "verify network.json",
        "simulate network.json",
        "fuzz --count 1",
    ),
    "fpga": ("classify network.json image.npy --port none",),
    "onnx": (
        "import model.onnx",
        "export network.json -o model.onnx",
        "fuzz --door onnx --count 1",
    ),
    "tflite": ("import model.tflite",),
    "tune": (f"tune {EXPERIMENT}", "tune pick out/digits 1"),
    "fuzz": ("fuzz --count 1",),
}
"""Commands that need each extra."""
FREE = ("init mine", "estimate network.json", "generate network.json", "zoo list")
"""Commands that need none."""
RUNNER = """
import sys
sys.modules.update(dict.fromkeys({modules}))
from systolith.cli import main
for command in {commands}:
    sys.argv = ["systolith", *command.split()]
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    else:
        code = 0
    print(f"{{code}}:", file=sys.stderr)
"""


def _run(commands: Sequence[str], folder: Path, *extras: str) -> list[tuple[int, str]]:
    """Run commands where the modules of some extras cannot be imported.

    Returns
    -------
    list of pairs of int and str
        The exit code and what is written to stderr.
    """
    save(small_network(), folder / "network.json")
    modules = [name for extra in extras for name in EXTRAS[extra].values() if name]
    modules += ["cocotb_tools"] if "simulate" in extras else []
    code = RUNNER.format(modules=modules, commands=list(commands))
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | paths,
    )
    ends = re.findall(r"(.*?)^(\d+):\n", done.stderr, re.DOTALL | re.MULTILINE)
    return [(int(code), said) for said, code in ends]


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_are_those_of_the_project(extra: str) -> None:
    packages = {text.partition(">")[0] for text in PROJECT["optional-dependencies"][extra]}
    assert {name for name in packages if not name.startswith("systolith")} == set(EXTRAS[extra])


def test_all_extras_together_have_what_the_doctor_looks_for() -> None:
    (together,) = PROJECT["optional-dependencies"]["all"]
    assert together == f"systolith[{','.join(sorted(MAIN_EXTRAS))}]"


def test_modules_lead_to_their_extras() -> None:
    assert extra_of("sklearn") == ("train", "scikit-learn")
    assert extra_of("cocotb_tools") == ("simulate", "cocotb")
    assert extra_of("numpy") is None


@pytest.mark.parametrize("extra", NEEDED)
def test_commands_name_the_extra_that_they_need(extra: str, tmp_path: Path) -> None:
    results = _run(NEEDED[extra], tmp_path, extra)
    for command, (code, said) in zip(NEEDED[extra], results, strict=True):
        assert code == 2, (command, said)
        assert said.startswith("error: this command needs "), command
        assert said.endswith(f": pip install 'systolith[{extra}]'\n"), command


def test_the_core_needs_no_extra(tmp_path: Path) -> None:
    for command, (code, said) in zip(FREE, _run(FREE, tmp_path, *EXTRAS), strict=True):
        assert code == 0, (command, said)


def test_the_doctor_lists_missing_extras(tmp_path: Path) -> None:
    assert _run(["doctor"], tmp_path, *EXTRAS) == [(1, "")]
