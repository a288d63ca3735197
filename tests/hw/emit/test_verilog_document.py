"""The testbench of docs/verilog.md, as one would copy it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from systolith.bench import find_toolchain
from systolith.emit import Meaning, write_design
from systolith.network import forward
from systolith.plan import plan_network
from tests.support.networks import small_network

DOCUMENT = Path(__file__).parents[3] / "docs/verilog.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def prepared(folder: Path) -> list[int]:
    """Write the design, its testbench and an image. Returns what has to come out."""
    network = small_network()
    write_design(plan_network(network, multipliers=12), folder)
    images = np.random.default_rng(0).integers(0, 256, (1, *network.input.shape))
    (program,), (bench,) = blocks("python"), blocks("verilog")
    exec(compile(program, str(DOCUMENT), "exec"), {"folder": folder, "images": images})
    (folder / "bench.v").write_text(bench)
    (expected,) = forward(network, images).values()
    return [int(value) for value in expected.reshape(-1)]


def printed(output: str) -> list[int]:
    return [int(line) for line in output.splitlines() if re.fullmatch(r"-?\d+", line)]


@pytest.mark.slow
def test_the_testbench_gives_what_golden_arithmetic_does(tmp_path: Path) -> None:
    expected = prepared(tmp_path)
    toolchain = find_toolchain()
    settings = [
        *toolchain.make_arguments,
        "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
        "CFG_CXXFLAGS_STD=-std=c++20",
    ]
    options = ["--binary", "--timing", "-Wno-fatal", "-CFLAGS", "-O0", "--top-module", "bench"]
    subprocess.run(
        [toolchain.verilator, *options, "lint.vlt", "bench.v", "systolith_top.v"],
        env={**toolchain.environment, "MAKEFLAGS": " ".join(settings)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    program = tmp_path / "obj_dir/Vbench"
    done = subprocess.run([program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert printed(done.stdout) == expected


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_the_documented_commands_do_the_same(tmp_path: Path) -> None:
    expected = prepared(tmp_path)
    commands = [line for block in blocks("console") for line in block.splitlines()]
    (build,) = (line.removeprefix("$ ") for line in commands if "iverilog" in line)
    (run,) = (line.removeprefix("$ ") for line in commands if "vvp" in line)
    subprocess.run(build.split(), cwd=tmp_path, check=True)
    done = subprocess.run(run.split(), cwd=tmp_path, check=True, capture_output=True, text=True)
    assert printed(done.stdout) == expected


def test_the_scales_are_those_that_designs_have() -> None:
    (text,) = blocks("json")
    shown = json.loads(text)
    network = small_network()
    made = Meaning.from_json(shown).to_json(network)
    assert made == shown
