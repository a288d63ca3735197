"""Verilator's runtime library is compiled once, and make leaves it alone."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from systolith.bench.compile import FLAGS, QUICK_FLAGS, place_runtime, run_make, run_verilator
from systolith.bench.compile_cache import CACHE_VARIABLE, shared_folder
from systolith.bench.toolchain import Toolchain, find_toolchain

OBJECTS = ("verilated_threads.o",)
OTHER_FLAGS = ("OPT_FAST=-Os", *FLAGS[1:])


@pytest.fixture
def toolchain() -> Toolchain:
    return find_toolchain()


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is shared is empty at first."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "shared"))
    return tmp_path / "shared"


def _placed(
    toolchain: Toolchain, workdir: Path, name: str, flags: Sequence[str] = FLAGS
) -> tuple[Path, tuple[str, ...]]:
    folder = workdir / name
    return folder, place_runtime(toolchain, workdir, folder, OBJECTS, [], flags)


def test_objects_are_compiled_for_the_first_design_only(
    toolchain: Toolchain, shared: Path, tmp_path: Path
) -> None:
    first, _ = _placed(toolchain, tmp_path / "one", "first")
    (runtime,) = shared.glob("runtime-*")
    before = runtime.stat().st_ino
    second, _ = _placed(toolchain, tmp_path / "another", "second", OTHER_FLAGS)
    (runtime,) = shared.glob("runtime-*")
    assert runtime.stat().st_ino == before
    objects = [(folder / OBJECTS[0]).read_bytes() for folder in (first, second, runtime)]
    assert objects[0] and len(set(objects)) == 1


@pytest.mark.parametrize("name", ["a file", "a-file"])
def test_where_nothing_can_be_shared_the_work_folder_holds_them(
    name: str, toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / name))
    workdir = tmp_path / "work"
    _placed(toolchain, workdir, "obj")
    assert len(list(workdir.glob("runtime-*"))) == 1


def test_without_the_variable_the_system_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(
        "systolith.bench.compile_cache.user_cache_path", lambda name: tmp_path / name
    )
    assert shared_folder(tmp_path) == tmp_path / "systolith"
    assert (tmp_path / "systolith").is_dir()


def test_make_leaves_them_alone_though_its_files_are_newer(
    toolchain: Toolchain, shared: Path, tmp_path: Path
) -> None:
    folder, arguments = _placed(toolchain, tmp_path, "obj")
    (folder / OBJECTS[0]).write_text("left alone")
    (folder / "top.v").write_text("module top(input wire clk);\nendmodule\n")
    run_verilator(toolchain, folder, ["--prefix", "Vtop", "--Mdir", ".", "top.v"])
    run_make(toolchain, folder, "Vtop.mk", [*arguments, *OBJECTS])
    assert (folder / OBJECTS[0]).read_text() == "left alone"
    run_make(toolchain, folder, "Vtop.mk", [*FLAGS, *OBJECTS])
    assert (folder / OBJECTS[0]).read_bytes()[:4] == b"\x7fELF"


def test_other_options_have_other_objects(
    toolchain: Toolchain, shared: Path, tmp_path: Path
) -> None:
    place_runtime(toolchain, tmp_path, tmp_path / "a", OBJECTS, [], FLAGS)
    place_runtime(toolchain, tmp_path, tmp_path / "b", OBJECTS, ["--trace-fst"], FLAGS)
    assert len(list(shared.glob("runtime-*"))) == 2


def test_quick_models_use_headers_that_are_precompiled_once(
    toolchain: Toolchain, shared: Path, tmp_path: Path
) -> None:
    folder, arguments = _placed(toolchain, tmp_path, "obj", QUICK_FLAGS)
    (headers,) = shared.glob("headers-*")
    assert arguments[-1] == f"USER_CPPFLAGS=-include {headers / 'headers.h.fast'}"
    (folder / "top.v").write_text("module top(input wire clk);\nendmodule\n")
    run_verilator(toolchain, folder, ["--prefix", "Vtop", "--Mdir", ".", "top.v"])
    strict = "OPT_FAST=-O0 -Winvalid-pch -Werror"  # an error if the compiler cannot use them
    run_make(toolchain, folder, "Vtop.mk", [*arguments, strict, "Vtop__ALL.a"])
    before = (headers / "headers.h.fast.gch").stat().st_mtime_ns
    assert _placed(toolchain, tmp_path, "other", QUICK_FLAGS)[1] == arguments
    assert (headers / "headers.h.fast.gch").stat().st_mtime_ns == before
