"""Verilator's runtime library is compiled once, and make leaves it alone."""

from pathlib import Path

import pytest

from systolith.bench.compile import QUICK_FLAGS, run_make, run_verilator
from systolith.bench.runtime import place_runtime
from systolith.bench.toolchain import Toolchain, find_toolchain

OBJECTS = ("verilated_threads.o",)


@pytest.fixture
def toolchain() -> Toolchain:
    return find_toolchain()


def _placed(toolchain: Toolchain, workdir: Path, name: str) -> tuple[Path, tuple[str, ...]]:
    folder = workdir / name
    return folder, place_runtime(toolchain, workdir, folder, OBJECTS, [], QUICK_FLAGS)


def test_objects_are_compiled_for_the_first_design_only(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    first, _ = _placed(toolchain, tmp_path, "first")
    (runtime,) = tmp_path.glob("runtime-*")
    before = runtime.stat().st_ino
    second, _ = _placed(toolchain, tmp_path, "second")
    (runtime,) = tmp_path.glob("runtime-*")
    assert runtime.stat().st_ino == before
    objects = [(folder / OBJECTS[0]).read_bytes() for folder in (first, second, runtime)]
    assert objects[0] and len(set(objects)) == 1


def test_make_leaves_them_alone_though_its_files_are_newer(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    folder, arguments = _placed(toolchain, tmp_path, "obj")
    (folder / OBJECTS[0]).write_text("left alone")
    (folder / "top.v").write_text("module top(input wire clk);\nendmodule\n")
    run_verilator(toolchain, folder, ["--prefix", "Vtop", "--Mdir", ".", "top.v"])
    run_make(toolchain, folder, "Vtop.mk", [*arguments, *OBJECTS])
    assert (folder / OBJECTS[0]).read_text() == "left alone"
    run_make(toolchain, folder, "Vtop.mk", [*QUICK_FLAGS, *OBJECTS])
    assert (folder / OBJECTS[0]).read_bytes()[:4] == b"\x7fELF"


def test_other_options_have_other_objects(toolchain: Toolchain, tmp_path: Path) -> None:
    place_runtime(toolchain, tmp_path, tmp_path / "a", OBJECTS, [], QUICK_FLAGS)
    place_runtime(toolchain, tmp_path, tmp_path / "b", OBJECTS, ["--trace-fst"], QUICK_FLAGS)
    assert len(list(tmp_path.glob("runtime-*"))) == 2
