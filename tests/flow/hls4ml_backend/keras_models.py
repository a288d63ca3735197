"""A Keras model with three outputs and most kinds of layers; the backend of Keras is PyTorch."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from typing import Any

import hls4ml
import keras
import numpy as np

from tests.flow.hls4ml_backend.comparing import QUANTIZED


def many_layers() -> Any:
    """Padding, strides, depthwise, residual, three kinds of pools, batch norm, dense."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    entry = layers.Input((9, 6, 2))
    x = layers.ZeroPadding2D(((1, 2), (0, 1)))(entry)
    x = layers.Conv2D(4, (3, 2), strides=(2, 1))(x)
    x = layers.ReLU()(x)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Conv2D(4, 1, activation="relu")(x)
    pooled = layers.AveragePooling2D((2, 3))(x)
    dense = layers.Dense(3, name="scores")(layers.Flatten()(pooled))
    norm = layers.BatchNormalization()
    greatest = norm(layers.GlobalMaxPooling2D()(x))
    mean = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(entry, [dense, greatest, mean])
    norm.set_weights([np.array(row) for row in ([0.5, -1.3, 2, 1], [0.1, 0.2, -0.3, 0])] + MOMENTS)
    return model


MOMENTS = [np.array([0.1, 0.0, 0.0, 0.2]), np.ones(4)]


def keras_config(model: Any) -> dict[str, Any]:
    """Types for every tensor; accumulators that hold every sum."""
    config: dict[str, Any] = hls4ml.utils.config_from_keras_model(
        model, granularity="name", backend="Vitis"
    )
    for name, section in config["LayerName"].items():
        for key in section["Precision"]:
            if key != "accum":
                section["Precision"][key] = QUANTIZED
        if "global" in name:
            section["Precision"]["accum"] = "ap_fixed<20,10>"
    return config
