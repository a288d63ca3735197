"""A check that cannot fail proves nothing: `systolith verify` must catch every mutation."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.emit import Design, write_design
from systolith.network import save
from systolith.plan import ArrayShape, plan_network
from tests.support.mutate import flip_memory_bit, list_memories, substitute
from tests.support.networks import small_network
from tests.support.slow import first_few

ARRAYS = {
    "conv1": ArrayShape(rows=3, columns=1),
    "conv2": ArrayShape(rows=3, columns=2),
    "fc": ArrayShape(rows=1, columns=1),
}
"""Fixed, because the mutations name parts of these arrays."""

WEIGHT_BIT, INDEX_BIT = 6, 9
"""Bits of a word of conv2's weight memory: an 8-bit weight, then a 3-bit index."""

FOUND = re.compile(
    r"layer '(?P<layer>\w+)', image \d+, channel \d+(, row \d+, column \d+)?, at cycle \d+: "
    r"expected -?\d+, got -?\d+"
)


def _flip(bit: int) -> Callable[[Design, Path], Design]:
    def mutate(design: Design, folder: Path) -> Design:
        name = "conv2.array.weights_0_0.memory"
        (memory,) = [m for m in list_memories(design) if m.module.endswith(name)]
        return flip_memory_bit(design, folder, memory, word=1, bit=bit)

    return mutate


def _skip_accumulation(design: Design, folder: Path) -> Design:
    """Let column 1 of conv2 keep the last step of each pass only."""
    start = r"first_0_1 \? 19'h00000 : acc_1"
    return substitute(design, folder, start, "(first_0_1 | last_0_1) ? 19'h00000 : acc_1")


def _drop_rounding(design: Design, folder: Path) -> Design:
    """Let fc truncate instead of rounding: half of the last bit is not added."""
    half = r"(?s)(requantizer_21to16 ?\(.*?\$signed\(shifted_1\) \+ \$signed\()2'h1"
    return substitute(design, folder, half, r"\g<1>2'h0")


MUTATIONS: dict[str, tuple[Callable[[Design, Path], Design], str]] = {
    "one bit of an index": (_flip(INDEX_BIT), "conv2"),
    "a skipped accumulation": (_skip_accumulation, "conv2"),
    "one bit of a weight": (_flip(WEIGHT_BIT), "conv2"),
    "a dropped rounding constant": (_drop_rounding, "fc"),
}


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "small.json"
    save(small_network(), path)
    return path


def _verify(network_file: Path, folder: Path, design: Design) -> tuple[int, str]:
    """Run the command on a design; exit code and what it said on stderr."""
    rtl = design.sources[0].parent
    design.save(rtl / "design.json")
    arguments = ["verify", str(network_file), "--rtl", str(rtl), "--output", str(folder / "out")]
    arguments += ["--images", "2"]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stderr


@pytest.mark.parametrize("name", first_few(MUTATIONS, 2))
def test_verify_names_layer_index_and_cycle_of_a_mutation(
    name: str, network_file: Path, tmp_path: Path
) -> None:
    mutate, layer = MUTATIONS[name]
    design = write_design(plan_network(small_network(), arrays=ARRAYS), tmp_path / "rtl")
    code, said = _verify(network_file, tmp_path, mutate(design, tmp_path / "mutant"))
    assert code == 1, said
    found = FOUND.search(said)
    assert found, said
    assert found["layer"] == layer


def test_verify_passes_the_design_as_generated(network_file: Path, tmp_path: Path) -> None:
    design = write_design(plan_network(small_network(), arrays=ARRAYS), tmp_path / "rtl")
    code, said = _verify(network_file, tmp_path, design)
    assert code == 0, said
    assert not FOUND.search(said)
