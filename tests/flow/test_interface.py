"""What is generated around the engines."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.config import ConfigError, Interface, load_experiment
from systolith.network import save
from systolith.steps import open_run
from tests.sim.shell_networks import framed_network

EXPERIMENT = """
name = "tiny"
model.factory = "digits_cnn"
data.factory = "digits"
[hardware]
interface = "{interface}"
"""


def _experiment(folder: Path, interface: str) -> Path:
    path = folder / f"{interface}.toml"
    path.write_text(EXPERIMENT.format(interface=interface))
    return path


def _generate(folder: Path, *options: str) -> dict[str, bool]:
    """Run the command. Returns which stages were found again."""
    save(framed_network(), folder / "small.json")
    arguments = ["generate", str(folder / "small.json"), "-o", str(folder / "out"), "--json"]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    return {stage["name"]: stage["cached"] for stage in json.loads(result.stdout)["stages"]}


def _verilog(folder: Path) -> set[str]:
    return {path.name for path in (folder / "out/rtl").glob("*.v")}


def test_an_interface_is_written_beside_the_bare_design(tmp_path: Path) -> None:
    for interface in ("axi", "wishbone"):
        _generate(tmp_path, "--interface", interface)
        top = f"systolith_{interface}"
        assert _verilog(tmp_path) == {f"{top}.v", "systolith_top.v"}
        assert f"module {top}(" in (tmp_path / f"out/rtl/{top}.v").read_text()
    assert _generate(tmp_path) == {"estimate": True, "generate": False}
    assert _verilog(tmp_path) == {"systolith_top.v"}


@pytest.mark.parametrize("interface", Interface)
def test_experiment_files_name_it(interface: Interface, tmp_path: Path) -> None:
    experiment = load_experiment(_experiment(tmp_path, interface.value))
    assert experiment.hardware.interface is interface


def test_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment(_experiment(tmp_path, "pci"))
    assert caught.value.problems == (
        "hardware.interface: must be 'stream', 'axi' or 'wishbone', got 'pci'",
    )


def test_nothing_is_trained_again_for_another_interface(tmp_path: Path) -> None:
    stages = [
        open_run(_experiment(tmp_path, interface), tmp_path).source.stages
        for interface in ("stream", "axi")
    ]
    bare, axi = ({name: stage.depends for name, stage in one.items()} for one in stages)
    assert bare == axi
