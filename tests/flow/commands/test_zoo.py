"""The zoo: its list, its cards, and networks that are quantized on the spot."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.zoo.__main__ import draw_images, measure
from benchmarks.zoo.table import RESULTS
from systolith.cli import app
from systolith.config import load_experiment
from systolith.foundation import UsageError
from systolith.network import forward, load
from systolith.zoo import ZOO, find_entry, read_cards
from systolith.zoo.making import make_network
from tests.support.slow import first_few

CHEAPEST = ("jet_mlp", "digits_cnn", "ds_cnn")


def _run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_cards_have_results() -> None:
    cards = read_cards()
    assert cards.keys() <= ZOO.keys()
    assert {path.stem for path in RESULTS.glob("*.json")} == cards.keys()
    for name, card in cards.items():
        assert (card.name, card.input) == (name, ZOO[name].size)
        result = json.loads((RESULTS / f"{name}.json").read_text())
        if "cycles_simulated" in result:
            assert result["cycles_simulated"]["none"] == result["cycles_predicted"]
        assert result["images"] >= 4


def test_a_name_that_is_none_lists_the_names() -> None:
    with pytest.raises(UsageError, match=r"^the zoo has no network 'lenet'; it has autoencoder, "):
        find_entry("lenet")


@pytest.mark.parametrize("name", first_few(CHEAPEST, 1))
def test_rtl_equals_the_reference_under_stalls_in_the_predicted_cycles(name: str) -> None:
    card, row = measure(name, quick=True)
    assert row["cycles_simulated"]["random"] > row["cycles_predicted"]
    assert card.macs == read_cards()[name].macs


def test_a_network_is_the_same_each_time() -> None:
    first, again, other = (make_network(ZOO["jet_mlp"], seed).network for seed in (0, 0, 1))
    images = draw_images(first)
    (name,) = first.outputs
    assert np.array_equal(forward(first, images)[name], forward(again, images)[name])
    assert not np.array_equal(forward(first, images)[name], forward(other, images)[name])


def test_list_shows_every_network_and_json_the_cards() -> None:
    code, shown = _run("zoo", "list")
    assert code == 0
    assert all(name in shown for name in ZOO)
    code, shown = _run("zoo", "list", "--json")
    assert json.loads(shown).keys() == read_cards().keys()


def test_get_writes_a_network_and_its_card_once(tmp_path: Path) -> None:
    folder = tmp_path / "jets"
    code, shown = _run("zoo", "get", "jet_mlp", "-o", folder)
    assert code == 0
    assert "random weights" in shown
    assert load(folder / "network.json").name == "jet_mlp"
    assert json.loads((folder / "card.json").read_text())["macs"] == 4256
    experiment = load_experiment(folder / "experiment.toml")
    assert (experiment.name, experiment.data.path) == ("jet_mlp", "data.npz")
    before = (folder / "network.json").read_bytes()
    assert _run("zoo", "get", "jet_mlp", "-o", folder, "--seed", 1)[0] == 2
    assert (folder / "network.json").read_bytes() == before
