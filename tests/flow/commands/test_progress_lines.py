"""Lines of progress on standard error and in the log, where no bars can be drawn."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from systolith.cli import app, terminal
from systolith.foundation import LOG
from systolith.network import save
from tests.support.networks import small_network


def test_output_that_is_no_terminal_gets_lines(tmp_path: Path) -> None:
    save(small_network(), tmp_path / "small.json")
    arguments = ["estimate", str(tmp_path / "small.json"), "-o", str(tmp_path / "out")]
    said = CliRunner().invoke(app, arguments).stderr.splitlines()
    assert said[0] == "estimate: begins"
    assert said[-1].startswith("estimate: done in ")
    again = CliRunner().invoke(app, [*arguments, "--multipliers", "20"]).stderr
    assert "estimate: runs again: hardware.multipliers changed: none -> 20" in again
    logged = (tmp_path / "out" / LOG).read_text()
    assert "run of 'small': estimate" in logged and "estimate: done in" in logged


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_exports_and_imports_that_take_long_have_lines(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "QUICK_SECONDS", seconds)
    save(small_network(), tmp_path / "small.json")
    model = tmp_path / "model.onnx"
    exporting = ["export", str(tmp_path / "small.json"), "-o", str(model)]
    for task, arguments in {
        "export": exporting,
        "import": ["import", str(model), "--no-check"],
    }.items():
        said = CliRunner().invoke(app, arguments).stderr.splitlines()
        if seconds:
            assert not said
        else:
            assert said[0] == f"{task}: begins" and said[1].startswith(f"{task}: done in ")
