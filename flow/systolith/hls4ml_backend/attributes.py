"""The attributes of hls4ml's layers that can be mapped; others are refused by name."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["attribute_problems"]

Rule = Callable[[Any], str | None]
"""Returns the requirement that a value does not meet; None if it meets all."""

DESCRIPTIVE = frozenset(
    (
        # name and connections of the layer
        *("name", "class_name", "module", "index", "inputs", "outputs", "trace"),
        *("input_keras_tensor_names", "output_keras_tensor_names"),
        # shapes, which are compared with those of the network
        *("input_shape", "output_shape", "in_height", "in_width", "out_height", "out_width"),
        *("n_in", "n_out", "n_chan", "n_filt", "n_inner", "n_outer", "dim", "depth"),
        *("height", "width", "out_shape", "perm_str", "depth_multiplier"),
        # generation of C++
        *("reuse_factor", "strategy", "conv_implementation", "parallelization_factor"),
        *("target_cycles", "implementation", "compression", "time_step_loop_parallelism"),
        *("table_size", "table_t", "skip", "precision", "n_partitions"),
        # keys of this backend
        *("pattern", "rows", "columns"),
        # types and parameters, which hls4ml has turned into weights and types
        *("result_t", "weight_t", "bias_t", "scale_t", "accum_t", "weight", "bias", "scale"),
        *("weight_data", "bias_data", "scale_data", "depthwise_data", "pointwise_data"),
        *("weight_quantizer", "bias_quantizer", "scale_quantizer", "depthwise_quantizer"),
        *("quantizer", "quantizer_precision", "use_bias", "scale_precision", "bias_precision"),
        # sources of the scale and bias of a batch normalization
        *("gamma_data", "beta_data", "mean_data", "variance_data", "epsilon", "momentum"),
        *("use_gamma", "use_beta"),
        # exact types of quantized models
        *("trusted", "overrides", "bit_exact_transformed", "fusible"),
    )
)
"""Attributes that do not change the result, or that are checked elsewhere."""


def _whole(value: Any) -> str | None:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0:
        return None
    return "must be an integer of at least 0; give the padding of each side as a number"


def _single(value: Any) -> str | None:
    return None if value in (None, 1) else "must be 1"


def _last(value: Any) -> str | None:
    if value in (None, "", "channels_last"):
        return None
    return (
        "must be channels_last; for PyTorch set channels_last_conversion of the configuration to "
        "'internal' or 'full'"
    )


def _size(value: Any) -> str | None:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1:
        return None
    return "must be an integer of at least 1"


def _sides(value: Any) -> str | None:
    values = np.asarray(value)
    return None if values.dtype.kind in "iu" and (values >= 0).all() else "must be integers"


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool | np.bool_) else "must be True or False"


def _any(value: Any) -> str | None:
    return None


def _nearest(value: Any) -> str | None:
    return None if value == "nearest" else "must be nearest"


SOFTMAX = (
    *("exp_table_t", "inv_table_t", "inv_inp_t", "inp_norm_t", "exp_table_size"),
    *("inv_table_size", "exp_scale", "axis"),
)
PADS: Mapping[str, Rule] = dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), _whole)
STRIDES: Mapping[str, Rule] = dict.fromkeys(("stride_height", "stride_width"), _size)
DILATIONS: Mapping[str, Rule] = dict.fromkeys(
    ("dilation", "dilation_height", "dilation_width"), _size
)
WINDOW: Mapping[str, Rule] = {**PADS, **STRIDES, **DILATIONS}
CONVOLUTION: Mapping[str, Rule] = {
    **WINDOW,
    **dict.fromkeys(("filt_height", "filt_width"), _size),
    "n_dim": _any,
    "padding": _any,
}
POOL: Mapping[str, Rule] = {
    **WINDOW,
    **dict.fromkeys(("pool_height", "pool_width", "filt_height", "filt_width"), _size),
    "pool_op": _any,
    "count_pad": _boolean,
    "pads": _sides,
    "padding": _any,
}
CROPS: Mapping[str, Rule] = dict.fromkeys(
    ("crop_top", "crop_bottom", "crop_left", "crop_right"), _whole
)
ACTIVATION: Mapping[str, Rule] = {
    **dict.fromkeys(("activation", "activ_param", "param", "param_t", "param_data"), _any),
    **dict.fromkeys(("slope", "shift", "slope_t", "shift_t", "slope_prec", "shift_prec"), _any),
    "axis": _any,
}
UNDERSTOOD: Mapping[str, Mapping[str, Rule]] = {
    **dict.fromkeys(
        ("Conv1D", "Conv2D", "Conv2DBatchnorm", "PointwiseConv1D", "PointwiseConv2D"),
        {**CONVOLUTION, "group": _single, "groups": _single},
    ),
    **dict.fromkeys(
        ("DepthwiseConv1D", "DepthwiseConv2D"), {**CONVOLUTION, "group": _any, "groups": _any}
    ),
    **dict.fromkeys(("Pooling1D", "Pooling2D"), POOL),
    # The window of a global pool is the image, so its strides have no meaning.
    **dict.fromkeys(
        ("GlobalPooling1D", "GlobalPooling2D"), {**dict.fromkeys(POOL, _any), "stride": _any}
    ),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), PADS),
    **dict.fromkeys(("Cropping1D", "Cropping2D"), CROPS),
    **dict.fromkeys(
        ("Activation", "ParametrizedActivation", "HardActivation", "PReLU", "TernaryTanh"),
        ACTIVATION,
    ),
    # It is left to the host, so its settings have no meaning here.
    "Softmax": {**ACTIVATION, **dict.fromkeys(SOFTMAX, _any)},
    "Merge": {"op": _any},
    "Concatenate": {"op": _any, "axis": _any},
    "Resize": {
        "algorithm": _nearest,
        # the factors are compared with those of the shapes
        **dict.fromkeys(("align_corners", "height_factor", "width_factor"), _any),
    },
    "Reshape": {"target_shape": _any},
    "Transpose": {"perm": _any},
    "Input": {"type_name": _any},
}
"""Further attributes by class; other classes have none."""


def attribute_problems(node: Any) -> Iterator[str]:
    """List the attributes of a layer that change its result and cannot be mapped.

    Parameters
    ----------
    node : hls4ml.model.layers.Layer
        A layer of a supported class.
    """
    rules: Mapping[str, Rule] = {**UNDERSTOOD.get(node.class_name, {}), "data_format": _last}
    for name, value in node.attributes.items():
        if name in DESCRIPTIVE or name in node.outputs or name.startswith("_"):
            continue
        if name not in rules:
            yield f"has the attribute {name} = {_short(value)}, which is not understood"
        elif problem := rules[name](value):
            yield f"{name} {problem}; got {_short(value)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
