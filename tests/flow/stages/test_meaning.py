"""What the integers stand for is written beside networks and designs."""

import json
from pathlib import Path

import numpy as np

from systolith.data import load_digits
from systolith.emit import Meaning, load_design, read_meaning
from systolith.frontend import IntegerModel
from systolith.models import DigitsCNN
from systolith.quant import QuantConfig, prepare
from systolith.stages import open_run
from systolith.stages.software.experiment import describe_meaning

EXPERIMENT = """
name = "tiny"
model.factory = "digits_cnn"
data.factory = "digits"
train = {float_epochs = 0, quantize_epochs = 0}
simulate.images = 1
[hardware]
multipliers = 8
"""


def test_images_are_quantized_as_is_written() -> None:
    data = load_digits()
    raw = data.test_images[:20]
    for used in (data, data.normalize([0.3], [0.35])):
        config = QuantConfig(input_signed=used is not data)
        quantized = prepare(DigitsCNN(), used.train_images[:64], config)
        model = IntegerModel(quantized)
        meaning = describe_meaning(quantized, used, ["fc"])
        assert meaning.normalizes is (used is not data)
        x = raw.double().numpy()
        real = x * np.array(meaning.multiply_by) + np.array(meaning.add)
        integers = np.floor(real / meaning.input_scale + 0.5)
        act = model.input_type
        expected = model.quantize_input(used.prepare(raw) if used is not data else raw)
        assert np.array_equal(np.clip(integers, act.low, act.high), expected)
        assert meaning.output_scales["fc"] == float(quantized.quantizer("fc").step.detach())
        assert meaning.rounding == "half_up"


def test_an_experiment_writes_it_beside_its_network_and_its_design(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(EXPERIMENT)
    session = open_run(path, tmp_path / "out")
    session.run("generate")
    meaning = read_meaning(tmp_path / "out/network.json")
    assert meaning is not None and meaning.input_scale > 0
    design = load_design(tmp_path / "out/rtl/design.json")
    assert design.scales == json.loads((tmp_path / "out/meaning.json").read_text())
    assert Meaning.from_json(design.scales) == meaning
