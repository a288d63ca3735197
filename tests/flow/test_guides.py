"""Pages for those who come from other tools: every block runs, in order, as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.document import PAGES, filled
from systolith.cli import app
from systolith.exchange import Format, export_onnx
from systolith.network import load
from tests.support.networks import small_network

DOCS = Path(__file__).parent.parent.parent / "docs"
BLOCK = re.compile(r"```(python|console|toml)(?: ([\w.]+))?\n(.*?)```", re.DOTALL)
"""Kind and text of a block, and the file that it is, if it is one."""
PROMPT = "$ "


def _run(page: str) -> dict[str, object]:
    """Run the blocks of a page in the current folder; gives the names that Python has then."""
    names: dict[str, object] = {}
    for kind, file, block in BLOCK.findall((DOCS / page).read_text()):
        if file:
            Path(file).write_text(block)
        elif kind == "python":
            exec(compile(block, page, "exec"), names)
        elif kind == "console":
            _run_commands(block)
    return names


def _run_commands(block: str) -> None:
    """Run each command; what stands below it is part of what it prints."""
    shown = ""
    for line in block.splitlines():
        if not line.startswith(PROMPT):
            assert line in shown, line
            continue
        program, *arguments = shlex.split(line.removeprefix(PROMPT), comments=True)
        assert program == "systolith"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (line, result.output, result.exception)
        shown = result.stdout


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_onnx_page(capsys: pytest.CaptureFixture[str]) -> None:
    export_onnx(small_network(), "model.onnx", Format.QDQ)
    _run("onnx.md")
    shown = capsys.readouterr().out
    assert "True {'conv1': 0.0, 'conv2': 0.0, 'fc': 0.0}" in shown
    assert "2-out-of-4 50%\n" in shown and shown.endswith("dense 100%\n")
    assert Path("again.patterns.json").exists()


@pytest.mark.filterwarnings("ignore:.*is left out:UserWarning")
def test_pytorch_models(capsys: pytest.CaptureFixture[str]) -> None:
    _run("pytorch-models.md")
    notes, layers, refused, *others = capsys.readouterr().out.splitlines()
    assert notes.startswith("(\"'log_softmax' (function log_softmax) is left out")
    assert layers == "['conv1', 'conv2', 'iadd', 'avg_pool2d', 'view', 'fc']"
    assert refused.startswith("pruning conv1 2-out-of-8 pruning needs in_channels divisible by 8")
    assert str([line.split()[0] for line in others]) == layers


def test_coming_from_finn(capsys: pytest.CaptureFixture[str]) -> None:
    _run("coming-from-finn.md")
    (percent,) = re.findall(r"([\d.]+)% of the test images", capsys.readouterr().out)
    assert float(percent) > 80


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_what_the_code_gives(page: Path) -> None:
    assert filled(page.read_text()) == page.read_text()


def test_a_changed_table_is_seen() -> None:
    page = (DOCS / "onnx.md").read_text()
    assert filled(page.replace("| Softmax", "| Softmin")) == page


def test_coming_from_torch_pruning(capsys: pytest.CaptureFixture[str]) -> None:
    _run("coming-from-torch-pruning.md")
    shown = capsys.readouterr().out
    assert shown.startswith("2-out-of-4\nconv1: dense\nconv2: 2-out-of-4\nfc: 2-out-of-4\n")
    (percent,) = re.findall(r"([\d.]+)% after training quantized", shown)
    assert float(percent) > 80
    for name in ("network.json", "imported/network.json"):
        patterns = [str(each.pattern) for each in load(Path(name)).layers if hasattr(each, "mask")]
        assert patterns == ["dense", "2-out-of-4", "2-out-of-4"]
    sparse, dense = map(int, re.findall(r": (\d+) cycles per frame", shown))
    assert sparse < dense


def test_your_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # as a script's own folder is
    _run("your-checkpoint.md")
    before, after, sparse = map(
        float, re.findall(r"([\d.]+)% (?:in|with)", capsys.readouterr().out)
    )
    assert min(before, after, sparse) > 80 and abs(before - after) < 3
    assert Path("out/mine/network.json").exists()
