"""Lines of progress on standard error and in the log, where no bars can be drawn."""

from pathlib import Path

from typer.testing import CliRunner

from systolith.cli import app
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


def test_an_export_has_lines_for_its_begin_and_end(tmp_path: Path) -> None:
    save(small_network(), tmp_path / "small.json")
    model = tmp_path / "model.onnx"
    arguments = ["export", str(tmp_path / "small.json"), "-o", str(model)]
    said = CliRunner().invoke(app, arguments).stderr.splitlines()
    assert said[0] == "export: begins" and said[1].startswith("export: done in ")
    said = CliRunner().invoke(app, ["import", str(model), "--no-check"]).stderr.splitlines()
    assert said[0] == "import: begins" and said[1].startswith("import: done in ")
