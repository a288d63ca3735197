"""The int8 files of MLPerf Tiny: every layer equal to TFLite's reference kernels."""

import pytest

from systolith.tflite import import_tflite
from tests.support.real_data import real_tflite

LAYERS = {
    "ad01_int8": 10,
    "kws_ref_model": 12,
    "pretrainedResnet_large_int8": 15,
    "pretrainedResnet_quant": 15,
    "str_ww_ref_model": 10,
    "vww_96_int8": 30,
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_equals_the_reference_kernels(name: str) -> None:
    imported = import_tflite(real_tflite(name), images=2)
    assert imported.agreement is not None
    assert imported.agreement.layers == LAYERS[name] == len(imported.network.layers)
    softmax = [note for note in imported.notes if note.startswith("SOFTMAX of")]
    assert len(imported.notes) == len(softmax) == (name != "ad01_int8")
