"""Errors of the user's code, of the machine, and of systolith: a message each, no traceback."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from rich.console import Console

from systolith.bench import CompileError
from systolith.cli import caches, main
from systolith.cli.errors.failures import explain_errors
from systolith.cli.errors.faults import find_user_frame
from systolith.foundation import spare_folder
from systolith.network import save
from systolith.train import TrainingError, evaluate
from tests.support.networks import small_network

EXPERIMENT = """
name = "mine"
[model]
factory = "my_network:make"
[data]
factory = "digits"
[train]
float_epochs = 1
"""
RAISES_IN_FORWARD = """
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        return self.fc(x.flatten(1), 2)

def make():
    return Network()
"""
RAISES_IN_FACTORY = "def make():\n    return {}['layers']\n"
MODULE = "my_network"
COMMAND = [sys.executable, "-W", "ignore", "-c", "from systolith.cli import main; main()"]


@pytest.fixture
def systolith(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[Any, str]]]:
    """Run the command line in a folder, as its main function; gives exit code and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def run(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["systolith", *arguments])
        sys.modules.pop(MODULE, None)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    yield run
    sys.modules.pop(MODULE, None)


def _told(error: str) -> tuple[int, str]:
    """Let `systolith doctor` raise an error; gives the exit code and what is said."""
    code = f"""
from systolith.cli import main
from systolith.cli.commands import diagnosis
def fail():
    raise {error}
diagnosis.diagnose = fail
main()
"""
    command = [sys.executable, "-W", "ignore", "-c", code, "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (RAISES_IN_FORWARD, ["TypeError: Linear.forward() takes 2", "in forward"]),
        (RAISES_IN_FACTORY, ["KeyError: 'layers'", "return {}['layers']"]),
        ("def make(:\n    pass\n", ["invalid syntax", "my_network.py", "line 1"]),
    ],
    ids=["forward", "factory", "syntax"],
)
def test_an_error_in_the_users_code_shows_the_users_line(
    source: str,
    expected: list[str],
    tmp_path: Path,
    systolith: Callable[..., tuple[Any, str]],
) -> None:
    (tmp_path / "my_network.py").write_text(source)
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    code, said = systolith("train", "mine.toml")
    assert code == 2
    for text in ("error: ", "my_network.py", *expected):
        assert text in said
    assert "Traceback" not in said and "/systolith/stages" not in said


def test_traceback_shows_all_of_it_wherever_it_stands(
    tmp_path: Path, systolith: Callable[..., tuple[Any, str]]
) -> None:
    (tmp_path / "my_network.py").write_text(RAISES_IN_FACTORY)
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    for arguments in (["train", "mine.toml", "--traceback"], ["--traceback", "train", "mine.toml"]):
        code, said = systolith(*arguments)
        assert code == 2
        assert "Traceback" in said and "make_model" in said and "error: " in said


def test_a_fault_of_ours_says_so_and_keeps_the_traceback() -> None:
    code, said = _told("KeyError('conv9')")
    assert code == 3
    assert "this is a fault of systolith, not yours: KeyError: 'conv9'" in said
    assert "Traceback" not in said
    (path,) = re.findall(r"The traceback is in (\S+):", said)
    assert "Traceback (most recent call last)" in Path(path).read_text()
    Path(path).unlink()


def test_a_missing_package_is_named() -> None:
    code, said = _told("ModuleNotFoundError('No module', name='torch.nn')")
    assert code == 2
    assert said == "error: this command needs torch: pip install 'systolith[train]'\n"
    code, said = _told("ModuleNotFoundError('No module', name='kiwisolver')")
    assert code == 2
    assert "the Python package 'kiwisolver' is not installed; `systolith doctor` lists" in said


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("OSError(28, 'No space left on device', 'x.json')", "'x.json': No space left on device"),
        ("PermissionError(13, 'Permission denied', 'out')", "'out': Permission"),
        ("IsADirectoryError(21, 'Is a directory', 'x.toml')", "'x.toml': Is a directory"),
    ],
)
def test_the_machine_refuses_in_one_sentence(error: str, expected: str) -> None:
    code, said = _told(error)
    assert code == 2
    assert expected in said and said.count("\n") == 1


def test_an_interrupt_says_how_to_go_on() -> None:
    code, said = _told("KeyboardInterrupt")
    assert code == 130
    assert "run again to go on" in said


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path: Path) -> None:
    save(small_network(), tmp_path / "small.json")
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, "estimate", str(tmp_path / "small.json"), "-o", str(tmp_path), "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_caches_go_elsewhere_without_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(caches.VARIABLE, str(tmp_path / "file/cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    caches.provide_caches()
    assert os.environ[caches.VARIABLE] == str(tmp_path / f"systolith-cache-{os.getuid()}")
    (tmp_path / f"systolith-cache-{os.getuid()}").chmod(0o777)
    assert spare_folder() is None, "anybody could put code into it"


def test_caches_stay_where_they_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(caches.VARIABLE, str(tmp_path / "cache"))
    caches.provide_caches()
    assert os.environ[caches.VARIABLE] == str(tmp_path / "cache")


def test_a_full_disk_in_a_librarys_words_is_no_fault_of_ours() -> None:
    code, said = _told("RuntimeError('I/O error: No space left on device (os error 28)')")
    assert code == 2
    assert "No space left on device" in said and "--output names another folder" in said
    assert "fault of systolith" not in said


def test_a_full_disk_in_a_tools_words_is_no_failed_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = "make failed:\nrm x\ntop.cpp: error: No space left on device\nmake: *** Error 1"
    with pytest.raises(typer.Exit) as ended, explain_errors(Console(stderr=True, width=200)):
        raise CompileError(output)
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == (
        "error: top.cpp: error: No space left on device; for results, --output names another "
        "folder\n"
    )


def test_the_innermost_line_of_the_users_that_we_called_is_found(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    source = "def classify(images):\n    return images.reshape(-1, 7)\n"
    exec(compile(source, str(tmp_path / "mine.py"), "exec"), names)
    images, labels = torch.rand(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(RuntimeError) as caught:
        evaluate(names["classify"], images, labels)
    frame = find_user_frame(caught.value)
    assert frame is not None
    assert (frame.filename, frame.lineno) == (str(tmp_path / "mine.py"), 2)
    with pytest.raises(TrainingError) as ours:
        evaluate(names["classify"], images, labels[:1])
    assert find_user_frame(ours.value) is None
