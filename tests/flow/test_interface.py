"""What is generated around the engines."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.config import ConfigError, Interface, load_experiment
from systolith.emit import Meaning
from systolith.network import save
from systolith.stages import open_run
from tests.support.shell.networks import framed_network

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
    """Run the command. Returns which stages were cached."""
    save(framed_network(), folder / "small.json")
    arguments = ["generate", str(folder / "small.json"), "-o", str(folder / "out"), "--json"]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    return {stage["name"]: stage["cached"] for stage in json.loads(result.stdout)["stages"]}


def _verilog(folder: Path) -> set[str]:
    return {path.name for path in (folder / "out/rtl").glob("*.v")}


def test_an_interface_is_written_beside_the_bare_design_and_stays(tmp_path: Path) -> None:
    expected = {"systolith_top.v"}
    for interface in ("axi", "wishbone"):
        _generate(tmp_path, "--interface", interface)
        top = f"systolith_{interface}"
        expected.add(f"{top}.v")
        assert _verilog(tmp_path) == expected
        assert f"module {top}(" in (tmp_path / f"out/rtl/{top}.v").read_text()
    # What another command made is not this one's to remove, and there is nothing to make anew.
    again = {"estimate": True, "generate": True, "generate axi": True, "generate wishbone": True}
    assert _generate(tmp_path) == again
    assert _verilog(tmp_path) == expected


def test_an_interface_is_renewed_with_the_design(tmp_path: Path) -> None:
    _generate(tmp_path, "--interface", "axi")
    shell = tmp_path / "out/rtl/systolith_axi.v"
    before = shell.read_text()
    stages = _generate(tmp_path, "--multipliers", "2")
    assert stages["generate"] is stages["generate axi"] is False
    design = json.loads((tmp_path / "out/rtl/design.json").read_text())
    assert shell.read_text() != before
    assert design["network_hash"] in shell.read_text()


def test_scales_beside_a_network_come_along(tmp_path: Path) -> None:
    network = framed_network()
    (output,) = network.outputs
    _generate(tmp_path)
    design = tmp_path / "out/rtl/design.json"
    assert json.loads(design.read_text())["scales"] == {}
    meaning = Meaning(input_scale=0.25, output_scales={output: 0.5}, rounding="half_even")
    (tmp_path / "meaning.json").write_text(json.dumps(meaning.to_json(network)))
    assert _generate(tmp_path)["generate"] is False
    assert json.loads(design.read_text())["scales"] == meaning.to_json(network)
    assert "0.25, rounded to the nearest integer, ties to the even" in (
        design.with_name("README.md").read_text()
    )
    (tmp_path / "meaning.json").write_text("[]")
    result = CliRunner().invoke(app, ["generate", str(tmp_path / "small.json")])
    assert result.exit_code == 2 and "meaning.json" in result.output


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
    bare, axi = ({stage.name: stage.inputs() for stage in each} for each in stages)
    assert bare == axi
