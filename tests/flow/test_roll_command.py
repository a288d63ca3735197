"""``systolith roll``: windows over time from the command line."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.commands.rolling import roll_meaning
from systolith.emit import MEANING, Meaning, read_meaning
from systolith.foundation import write_json
from systolith.network import (
    ActType,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Linear,
    Requantize,
    Tensor,
    forward,
    load,
    roll_network,
    save,
)
from systolith.stages.image_files import quantize_images

ACT = ActType(bits=8, signed=True, zero_point=-3)
SCALE = Requantize(multiplier=np.array([3]), shift=np.array([8]))


def _windows(padding: int = 0) -> IntegerNetwork:
    """Windows of 6 rows of 2 values of 2 channels."""
    rng = np.random.default_rng(0)
    conv = Conv2d(
        name="conv",
        input="input",
        weight=rng.integers(-9, 9, (3, 2, 3, 1)),
        bias=np.zeros(3, int),
        requantize=SCALE,
        output=ACT,
        stride=(2 - padding, 1),
        padding=(padding, padding, 0, 0),
    )
    high = (6 + 2 * padding - 3) // (2 - padding) + 1
    dense = Linear(
        name="dense",
        input="flat",
        weight=rng.integers(-9, 9, (4, 3 * high * 2)),
        bias=np.arange(4),
        requantize=SCALE,
        output=ACT,
    )
    layers = (conv, Flatten(name="flat", input="conv"), dense)
    return IntegerNetwork(name="word", input=Tensor((2, 6, 2), ACT), layers=layers)


def _roll(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["roll", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_saved_network_computes_every_window(tmp_path: Path) -> None:
    window = _windows()
    save(window, tmp_path / "word.json")
    code, shown = _roll(tmp_path / "word.json", "--rows", 20, "-o", tmp_path / "out", "--json")
    assert code == 0, shown
    facts = json.loads(shown)
    assert facts == {"network": "word_rolling", "rows": 20, "window": 6, "hop": 2, "results": 8}
    tall = load(tmp_path / "out/network.json")
    images = np.random.default_rng(1).integers(ACT.low, ACT.high + 1, (1, 2, 20, 2))
    results = forward(tall, images)["dense"]
    for number in range(8):
        part = images[:, :, 2 * number : 2 * number + 6]
        assert np.array_equal(results[:, :, number, 0], forward(window, part)["dense"])


def test_a_layer_that_pads_over_time_is_refused(tmp_path: Path) -> None:
    save(_windows(padding=1), tmp_path / "word.json")
    code, shown = _roll(tmp_path / "word.json", "--rows", 20)
    assert code == 2
    assert "layer 'conv': pads rows at the ends of the window" in shown.replace("\n", " ")


def test_real_images_are_taller_in_the_order_of_the_file(tmp_path: Path) -> None:
    window = _windows()
    elements = np.arange(24).reshape(6, 2, 2).transpose(2, 0, 1).ravel().tolist()
    meaning = Meaning(
        input_scale=0.5,
        output_scales={"dense": 0.25},
        moved={"image": [6, 2, 2], "elements": elements},
        ends={"dense": "softmax"},
    )
    save(window, tmp_path / "word.json")
    write_json(tmp_path / MEANING, meaning.to_json(window))
    code, shown = _roll(tmp_path / "word.json", "--rows", 9, "-o", tmp_path / "out")
    assert code == 0 and "2 results of 9 rows" in shown, shown
    saved = read_meaning(tmp_path / "out/network.json")
    assert saved is not None and saved.output_scales == {"dense": 0.25}
    assert saved.ends == {"dense": "softmax"}
    tall = load(tmp_path / "out/network.json")
    images = np.random.default_rng(2).normal(0, 9, (1, 9, 2, 2)).astype(np.float32)
    ours = quantize_images(images, tall, saved)
    parts = [quantize_images(images[:, s : s + 6], window, meaning) for s in (0, 3)]
    assert np.array_equal(ours[:, :, :6], parts[0]) and np.array_equal(ours[:, :, 3:], parts[1])


def test_images_that_are_not_row_by_row_have_no_meaning() -> None:
    window = _windows()
    rolled = roll_network(window, 9)
    by_columns = np.arange(24).reshape(2, 6, 2).transpose(2, 1, 0).ravel().tolist()
    meaning = Meaning(
        input_scale=0.5,
        output_scales={"dense": 0.25},
        moved={"image": [2, 6, 2], "elements": by_columns},
    )
    assert roll_meaning(meaning, window, rolled) is None
    each_row = Meaning(
        input_scale=0.5, output_scales={"dense": 0.25}, add=np.arange(24).reshape(2, 6, 2).tolist()
    )
    assert roll_meaning(each_row, window, rolled) is None
