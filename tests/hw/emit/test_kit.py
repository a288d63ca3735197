"""What lies beside emitted Verilog is enough to use it elsewhere."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from systolith.bench import find_toolchain
from systolith.emit import (
    Bus,
    Meaning,
    design_files,
    load_design,
    read_meaning,
    write_design,
    write_shell,
)
from systolith.network import IntegerNetwork
from systolith.plan import NetworkPlan, plan_network
from tests.support.networks import small_network
from tests.support.shell.networks import forked_network

MEANING = Meaning(
    input_scale=1 / 255,
    output_scales={"fc": 0.125},
    multiply_by=[[[2.0]]],
    add=[[[-1.0]]],
    rounding="half_up",
)

DECLARED = re.compile(r"^  (?:input|output) (?:\[\d+:0\] )?(\w+);$", re.MULTILINE)


def verilator(arguments: list[str], folder: Path) -> list[str]:
    toolchain = find_toolchain()
    done = subprocess.run(
        [toolchain.verilator, *arguments],
        env=dict(toolchain.environment),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("%")]


def small_plan(*, reloadable: bool = False) -> NetworkPlan:
    return plan_network(small_network(), multipliers=12, reloadable=reloadable)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a design whose scales are unknown."""
    folder = tmp_path_factory.mktemp("bare")
    write_design(small_plan(), folder)
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a reloadable design, and scales."""
    folder = tmp_path_factory.mktemp("full")
    write_design(small_plan(reloadable=True), folder, meaning=MEANING)
    return folder


@pytest.mark.parametrize("name", ["bare", "full"])
def test_the_documented_command_finds_nothing(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    page = (folder / "README.md").read_text()
    (command,) = re.findall(r"^\$ verilator (.*?) +# no warnings$", page, re.MULTILINE)
    assert verilator(command.split(), folder) == []
    without = [each for each in command.split() if each != "lint.vlt"]
    assert len(verilator(without, folder)) > 10


@pytest.mark.parametrize("network", [small_network(), forked_network()])
def test_the_instance_of_the_page_fits(network: IntegerNetwork, tmp_path: Path) -> None:
    design = write_design(plan_network(network, multipliers=12), tmp_path)
    page = (tmp_path / "README.md").read_text()
    (template,) = re.findall(r"```verilog\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.v").write_text(f"module mine;\n{template}endmodule\n")
    arguments = ["--lint-only", "-Wall", "-Wno-UNDRIVEN", "lint.vlt", "mine.v"]
    source = design.sources[0].name
    assert verilator([*arguments, source, "--top-module", "mine"], tmp_path) == []
    names = re.findall(r"\.(\w+) +\(", template)
    for port in (design.input, *design.outputs):
        for part in ("payload", "valid", "ready"):
            assert f"{port.signal}__{part}" in names


def test_the_header_tells_ports_streams_and_timing(full: Path) -> None:
    plan, design = small_plan(reloadable=True), load_design(full / "design.json")
    text = design.sources[0].read_text()
    comment, _, rest = text.partition("\nmodule ")
    assert all(line.startswith("//") or not line for line in comment.splitlines())
    declared = DECLARED.findall(rest.partition("endmodule")[0])
    for name in declared:
        assert re.search(rf"^//   (input|output) .*\b{name} +\S", comment, re.MULTILINE), name
    assert "clk" in declared and "o__payload" in declared
    assert design.network_hash in comment and design.circuit_hash in comment
    assert f"{plan.latency_cycles} cycles" in comment
    assert f"every {plan.steady_interval} cycles" in comment
    assert "36 transfers a frame" in comment


@pytest.mark.parametrize("bus", Bus)
def test_shells_have_a_header_that_names_every_port(bus: Bus, tmp_path: Path) -> None:
    text = write_shell(small_plan(), tmp_path, bus=bus).read_text()
    comment, _, rest = text.partition("\nmodule ")
    declared = DECLARED.findall(rest.partition("endmodule")[0])
    assert len(declared) > 15
    for name in declared:
        assert re.search(rf"^//   (input|output) .*\b{name} +\S", comment, re.MULTILINE), name


def test_scales_are_in_the_description_and_on_the_page(full: Path) -> None:
    found = json.loads((full / "design.json").read_text())["scales"]
    assert found["input"]["scale"] == 1 / 255
    assert (found["input"]["low"], found["input"]["high"]) == (0, 255)
    assert found["input"]["first_multiply_by"] == [[[2.0]]]
    assert found["outputs"] == {"fc": {"scale": 0.125, "zero_point": 0}}
    assert found["notes"] == []
    assert load_design(full / "design.json").scales == found
    assert Meaning.from_json(found) == replace(MEANING, low=0, high=255)
    page = (full / "README.md").read_text()
    assert "x / 0.00392156862745098, rounded to the nearest integer, ties to the greater" in page
    assert "clamped to 0..255" in page
    assert "| fc | 0 | 0.125 |" in page and "- then_add: [[[-1.0]]]" in page


def test_what_is_left_to_the_host_is_on_the_page(tmp_path: Path) -> None:
    meaning = replace(
        MEANING,
        rounding="half_even",
        zero_point_first=True,
        moved={"image": [6, 6, 1], "elements": list(range(36))},
        orders={"fc": {"tensor": "scores", "shape": [5, 1], "elements": [4, 3, 2, 1, 0]}},
        notes=("the softmax is left to the host",),
    )
    design = write_design(small_plan(), tmp_path, meaning=meaning)
    assert replace(Meaning.from_json(design.scales), low=None, high=None) == meaning
    page = (tmp_path / "README.md").read_text()
    assert "plus the zero point 0, then rounded to the nearest integer, ties to the even" in page
    assert "Images have the shape (6, 6, 1), and their elements are moved first" in page
    assert "The elements of fc make the shape (5, 1)" in page
    assert "- the softmax is left to the host" in page


def test_a_network_without_scales_is_said_to_have_none(bare: Path) -> None:
    assert load_design(bare / "design.json").scales == {}
    assert "came without scales" in (bare / "README.md").read_text()


def test_hashes_say_what_they_cover(bare: Path, tmp_path: Path) -> None:
    network = small_network()
    first, *others = network.layers
    changed = replace(network, layers=(replace(first, bias=first.bias + 1), *others))
    one = load_design(bare / "design.json")
    two = write_design(plan_network(changed, multipliers=12), tmp_path)
    assert one.circuit_hash == two.circuit_hash and one.network_hash != two.network_hash
    page = (bare / "README.md").read_text()
    assert f"network hash `{one.network_hash}`: covers everything that is computed, weights" in page
    assert f"circuit hash `{one.circuit_hash}`: covers the circuit without the contents" in page


def test_files_of_others_stay_and_own_ones_leave(tmp_path: Path) -> None:
    plan = small_plan(reloadable=True)
    write_design(plan, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert {path.name for path in tmp_path.iterdir()} == {*design_files(plan), "notes.txt"}
    write_design(small_plan(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*design_files(small_plan()), "notes.txt"}


def test_meanings_are_found_beside_a_network(tmp_path: Path) -> None:
    network = tmp_path / "network.json"
    assert read_meaning(network) is None
    imported = {
        "input": {"scale": 0.5, "zero_point": 3, "first_multiply_by": 2.0, "then_add": [0.0]},
        "outputs": {"fc": {"scale": 0.25, "zero_point": 0}},
        "exact": True,
    }
    (tmp_path / "import.json").write_text(json.dumps(imported))
    found = read_meaning(network)
    assert found == Meaning(input_scale=0.5, output_scales={"fc": 0.25}, multiply_by=[2.0])
    (tmp_path / "meaning.json").write_text("{}")
    with pytest.raises(ValueError, match=r"meaning\.json' needs input\.scale.*or remove it"):
        read_meaning(network)
