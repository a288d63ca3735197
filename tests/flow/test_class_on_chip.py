"""Classes found on the chip: estimates, RTL, accuracy, refusals."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.config import load_experiment
from systolith.emit import Meaning
from systolith.foundation import UsageError
from systolith.network import append_argmax, content_hash, forward, save
from systolith.plan import plan_network
from systolith.stages import open_run
from systolith.stages.runner import runner_device
from tests.support.networks import small_network


def _invoke(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    save(small_network(), tmp_path / "small.json")
    return tmp_path / "small.json"


def test_rtl_gives_classes_and_their_accuracy(network_file: Path, tmp_path: Path) -> None:
    network, rng = small_network(), np.random.default_rng(0)
    images = rng.integers(0, 256, (6, *network.input.shape))
    labels = forward(network, images)["fc"].argmax(axis=1)
    labels[:2] = (labels[:2] + 1) % 5
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    report = _invoke(
        *("simulate", network_file, "-o", tmp_path / "out", "--class-on-chip"),
        *("--images", tmp_path / "images.npz", "--json"),
    )
    assert report["verification"]["passed"]
    checks = report["verification"]
    assert checks["cycles_predicted"] == checks["cycles_simulated"] > 0
    assert report["accuracy"]["rtl"] == pytest.approx(4 / 6)
    design = json.loads((tmp_path / "out/rtl/design.json").read_text())
    assert design["network_hash"] == content_hash(append_argmax(network))


def test_the_default_gives_logits(network_file: Path, tmp_path: Path) -> None:
    logits = open_run(network_file, tmp_path / "a")
    classes = open_run(network_file, tmp_path / "b", changes={"hardware": {"class_on_chip": True}})
    assert logits.plan.network.outputs == ("fc",)
    assert classes.plan.network.outputs == ("fc_class",)
    assert classes.plan.resources.dsps == logits.plan.resources.dsps
    assert classes.plan.cycles_per_frame == logits.plan.cycles_per_frame


def test_an_experiment_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "digits.toml"
    path.write_text(
        'name = "tiny"\n[model]\nfactory = "digits_cnn"\n[data]\nfactory = "digits"\n'
        "[hardware]\nclass_on_chip = true\n"
    )
    assert load_experiment(path).hardware.class_on_chip
    result = CliRunner().invoke(app, ["check", str(path), "--json"])
    assert result.exit_code == 0, result.output
    assert any(
        row["integer_name"].endswith("_class") for row in json.loads(result.stdout)["layers"]
    )


def test_the_runner_of_eembc_needs_probabilities() -> None:
    plan = plan_network(append_argmax(small_network()))
    meaning = Meaning(input_scale=1.0, output_scales={"fc_class": 1.0})
    board: Any = SimpleNamespace()
    with pytest.raises(UsageError, match="build without class_on_chip"):
        runner_device(board, plan, meaning, model="ic01", clock_mhz=1.0)
