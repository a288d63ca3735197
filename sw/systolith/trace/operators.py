"""The operators that are understood: one table of functions, methods and modules.

A row names an operator, everything in PyTorch that computes it, and its parameters. To add an
operator, add a row here and a rule where it has a meaning: in :mod:`systolith.quant.recognition`
for hardware, in :mod:`systolith.prune.filters` for pruning.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["COMMON_PARAMETERS", "OperatorRow", "operator_of_call", "operator_of_module"]

COMMON_PARAMETERS = ("inplace", "keepdim", "memory_format", "_stacklevel")
"""Parameters of any operator that do not change the computed values."""

_Settings = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One operator and the ways to call it.

    Parameters
    ----------
    name : str
        As in :mod:`torch.nn.functional`, if it is there; that of images, for sequences, too.
    calls : tuple
        Functions; methods as strings, ``"Tensor.relu"``.
    parameters : tuple of str
        In PyTorch's order, after the first one.
    modules : tuple of type
        Modules that compute it; their attributes have the names of the parameters.
    settings : mapping of type to callable
        Further modules, with a function from the module to its arguments.
    first : str
        Name of the first parameter.
    aliases : mapping of str to str
        Other names of parameters.
    variadic : bool
        Whether all positional arguments after the first may be one sequence, as in
        ``x.view(2, -1)``.
    """

    name: str
    calls: tuple[Any, ...] = ()
    parameters: tuple[str, ...] = ()
    modules: tuple[type[nn.Module], ...] = ()
    settings: Mapping[type[nn.Module], _Settings] = field(default_factory=dict)
    first: str = "input"
    aliases: Mapping[str, str] = field(default_factory=dict)
    variadic: bool = False

    def module_arguments(self, module: nn.Module, kind: type[nn.Module]) -> dict[str, Any]:
        """Arguments of a module of type `kind`, by name of the parameter."""
        if kind in self.settings:
            return dict(self.settings[kind](module))
        return {name: getattr(module, name) for name in self.parameters if hasattr(module, name)}


_AXIS = {"axis": "dim"}


def _evaluating(module: nn.Module) -> Mapping[str, Any]:
    """Arguments of a dropout, which models are read without."""
    return {"training": False}


OPERATORS = (
    # Layers with weights.
    OperatorRow("conv2d", (F.conv1d, F.conv2d), modules=(nn.Conv1d, nn.Conv2d)),
    OperatorRow(
        "conv_transpose2d",
        (F.conv_transpose1d, F.conv_transpose2d),
        modules=(nn.ConvTranspose1d, nn.ConvTranspose2d),
    ),
    OperatorRow("linear", (F.linear,), modules=(nn.Linear,)),
    OperatorRow(
        "batch_norm",
        (F.batch_norm,),
        ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
        (nn.BatchNorm1d, nn.BatchNorm2d),
    ),
    # Activations.
    OperatorRow(
        "relu",
        (F.relu, torch.relu, torch.relu_, "Tensor.relu", "Tensor.relu_"),
        ("inplace",),
        (nn.ReLU,),
    ),
    OperatorRow("relu6", (F.relu6, torch._C._nn.relu6_), ("inplace",), (nn.ReLU6,)),
    OperatorRow(
        "hardtanh",
        (F.hardtanh, F.hardtanh_),
        ("min_val", "max_val", "inplace"),
        (nn.Hardtanh,),
    ),
    OperatorRow(
        "clamp",
        (torch.clamp, torch.clamp_, torch.clip, torch.clip_)
        + ("Tensor.clamp", "Tensor.clamp_", "Tensor.clip", "Tensor.clip_"),
        ("min", "max"),
    ),
    OperatorRow(
        "clamp",
        (torch.clamp_min, torch.clamp_min_, "Tensor.clamp_min", "Tensor.clamp_min_"),
        ("min",),
    ),
    OperatorRow("leaky_relu", (F.leaky_relu,), ("negative_slope", "inplace"), (nn.LeakyReLU,)),
    OperatorRow("elu", (F.elu,), ("alpha", "inplace"), (nn.ELU,)),
    OperatorRow("selu", (F.selu, torch.selu), ("inplace",), (nn.SELU,)),
    OperatorRow("celu", (F.celu, torch.celu), ("alpha", "inplace"), (nn.CELU,)),
    OperatorRow("gelu", (F.gelu,), ("approximate",), (nn.GELU,)),
    OperatorRow("silu", (F.silu,), ("inplace",), (nn.SiLU,)),
    OperatorRow("mish", (F.mish,), ("inplace",), (nn.Mish,)),
    OperatorRow("hardswish", (F.hardswish,), ("inplace",), (nn.Hardswish,)),
    OperatorRow("softsign", (F.softsign,), (), (nn.Softsign,)),
    OperatorRow(
        "sigmoid",
        (torch.sigmoid, torch.sigmoid_, torch.special.expit, F.sigmoid)
        + ("Tensor.sigmoid", "Tensor.sigmoid_"),
        (),
        (nn.Sigmoid,),
    ),
    OperatorRow("hardsigmoid", (F.hardsigmoid,), ("inplace",), (nn.Hardsigmoid,)),
    OperatorRow("logsigmoid", (F.logsigmoid,), (), (nn.LogSigmoid,)),
    OperatorRow("softplus", (F.softplus,), ("beta", "threshold"), (nn.Softplus,)),
    OperatorRow("hardshrink", (F.hardshrink,), ("lambd",), (nn.Hardshrink,)),
    OperatorRow("softshrink", (F.softshrink,), ("lambd",), (nn.Softshrink,)),
    OperatorRow("tanhshrink", (F.tanhshrink,), (), (nn.Tanhshrink,)),
    OperatorRow("threshold", (F.threshold,), ("threshold", "value", "inplace"), (nn.Threshold,)),
    OperatorRow("prelu", (F.prelu, torch.prelu, "Tensor.prelu"), ("weight",), (nn.PReLU,)),
    # Functions of each value.
    *(
        OperatorRow(name, (getattr(torch, name), f"Tensor.{name}", f"Tensor.{name}_"))
        for name in ("abs", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "square")
        + ("reciprocal", "sign", "sin", "cos", "atan", "sinh", "cosh", "asinh", "erf", "erfc")
        + ("round", "floor", "ceil", "trunc")
    ),
    OperatorRow(
        "pow", (operator.pow, operator.ipow, torch.pow, "Tensor.pow", "Tensor.pow_"), ("exponent",)
    ),
    OperatorRow("tanh", (torch.tanh, F.tanh, "Tensor.tanh", "Tensor.tanh_"), (), (nn.Tanh,)),
    OperatorRow(
        "softmax",
        (F.softmax, F.log_softmax, torch.softmax, torch.log_softmax)
        + ("Tensor.softmax", "Tensor.log_softmax"),
        ("dim", "_stacklevel", "dtype"),
        (nn.Softmax, nn.LogSoftmax),
        {nn.Softmax2d: lambda module: {"dim": -3}},
    ),
    OperatorRow("argmax", (torch.argmax, "Tensor.argmax"), ("dim",), aliases=_AXIS),
    # Pools and reductions.
    OperatorRow(
        "max_pool2d",
        (F.max_pool1d, F.max_pool2d, torch.max_pool1d, torch.max_pool2d),
        ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
        (nn.MaxPool1d, nn.MaxPool2d),
    ),
    OperatorRow(
        "avg_pool2d",
        (F.avg_pool1d, F.avg_pool2d),
        ("kernel_size", "stride", "padding")
        + ("ceil_mode", "count_include_pad", "divisor_override"),
        (nn.AvgPool1d, nn.AvgPool2d),
    ),
    OperatorRow(
        "adaptive_avg_pool2d",
        (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d),
        ("output_size",),
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
    ),
    OperatorRow(
        "adaptive_max_pool2d",
        (F.adaptive_max_pool1d, F.adaptive_max_pool2d),
        ("output_size", "return_indices"),
        (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    ),
    OperatorRow("mean", (torch.mean, "Tensor.mean"), ("dim", "keepdim", "dtype"), aliases=_AXIS),
    OperatorRow("sum", (torch.sum, "Tensor.sum"), ("dim", "keepdim", "dtype"), aliases=_AXIS),
    OperatorRow("amax", (torch.amax, "Tensor.amax"), ("dim", "keepdim"), aliases=_AXIS),
    # Arithmetic.
    OperatorRow(
        "add",
        (operator.add, operator.iadd, torch.add, "Tensor.add", "Tensor.add_"),
        ("other", "alpha"),
    ),
    OperatorRow(
        "sub",
        (operator.sub, operator.isub, torch.sub, torch.subtract, "Tensor.sub", "Tensor.sub_"),
        ("other", "alpha"),
    ),
    OperatorRow("rsub", (torch.rsub, "Tensor.__rsub__"), ("other", "alpha")),
    OperatorRow(
        "mul",
        (operator.mul, operator.imul, torch.mul, torch.multiply, "Tensor.mul", "Tensor.mul_"),
        ("other",),
    ),
    OperatorRow(
        "div",
        (operator.truediv, operator.itruediv, torch.div, torch.divide)
        + ("Tensor.div", "Tensor.div_"),
        ("other", "rounding_mode"),
    ),
    OperatorRow("neg", (operator.neg, torch.neg, "Tensor.neg")),
    # Shapes.
    OperatorRow(
        "flatten", (torch.flatten, "Tensor.flatten"), ("start_dim", "end_dim"), (nn.Flatten,)
    ),
    OperatorRow(
        "reshape",
        ("Tensor.view", "Tensor.reshape", torch.reshape),
        ("shape",),
        aliases={"size": "shape"},
        variadic=True,
    ),
    OperatorRow("reshape_as", ("Tensor.view_as", "Tensor.reshape_as"), ("other",)),
    OperatorRow(
        "squeeze",
        (torch.squeeze, "Tensor.squeeze", "Tensor.squeeze_"),
        ("dim",),
        variadic=True,
    ),
    OperatorRow("unsqueeze", (torch.unsqueeze, "Tensor.unsqueeze", "Tensor.unsqueeze_"), ("dim",)),
    OperatorRow(
        "unflatten",
        (torch.unflatten, "Tensor.unflatten"),
        ("dim", "sizes"),
        settings={nn.Unflatten: lambda m: {"dim": m.dim, "sizes": m.unflattened_size}},
    ),
    OperatorRow("getitem", (operator.getitem,), ("index",)),
    OperatorRow("chunk", (torch.chunk, "Tensor.chunk"), ("chunks", "dim"), aliases=_AXIS),
    OperatorRow(
        "split",
        (torch.split, "Tensor.split"),
        ("split_size_or_sections", "dim"),
        aliases={"split_size": "split_size_or_sections", **_AXIS},
    ),
    OperatorRow(
        "tensor_split",
        (torch.tensor_split, "Tensor.tensor_split"),
        ("indices_or_sections", "dim"),
        aliases=_AXIS,
    ),
    OperatorRow("narrow", (torch.narrow, "Tensor.narrow"), ("dim", "start", "length")),
    OperatorRow(
        "index_select", (torch.index_select, "Tensor.index_select"), ("dim", "index"), aliases=_AXIS
    ),
    OperatorRow(
        "transpose",
        (torch.transpose, torch.swapaxes, "Tensor.transpose", "Tensor.swapaxes"),
        ("dim0", "dim1"),
        aliases={"axis0": "dim0", "axis1": "dim1"},
    ),
    OperatorRow("permute", (torch.permute, "Tensor.permute"), ("dims",), variadic=True),
    OperatorRow("flip", (torch.flip, "Tensor.flip"), ("dims",), variadic=True),
    OperatorRow("roll", (torch.roll, "Tensor.roll"), ("shifts", "dims")),
    OperatorRow("channel_shuffle", (F.channel_shuffle,), ("groups",), (nn.ChannelShuffle,)),
    OperatorRow("pixel_shuffle", (F.pixel_shuffle,), ("upscale_factor",), (nn.PixelShuffle,)),
    OperatorRow(
        "pixel_unshuffle", (F.pixel_unshuffle,), ("downscale_factor",), (nn.PixelUnshuffle,)
    ),
    OperatorRow(
        "cat",
        (torch.cat, torch.concat, torch.concatenate),
        ("dim",),
        first="tensors",
        aliases=_AXIS,
    ),
    OperatorRow(
        "pad",
        (F.pad,),
        ("pad", "mode", "value"),
        settings={
            nn.ZeroPad1d: lambda m: {"pad": m.padding},
            nn.ZeroPad2d: lambda m: {"pad": m.padding},
            nn.ConstantPad1d: lambda m: {"pad": m.padding, "value": m.value},
            nn.ReflectionPad1d: lambda m: {"pad": m.padding, "mode": "reflect"},
            nn.ReplicationPad1d: lambda m: {"pad": m.padding, "mode": "replicate"},
            nn.ConstantPad2d: lambda m: {"pad": m.padding, "value": m.value},
            nn.ReflectionPad2d: lambda m: {"pad": m.padding, "mode": "reflect"},
            nn.ReplicationPad2d: lambda m: {"pad": m.padding, "mode": "replicate"},
        },
    ),
    OperatorRow(
        "interpolate",
        (F.interpolate,),
        ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias"),
        (nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d),
    ),
    # What computes nothing in evaluation mode.
    OperatorRow(
        "identity",
        (torch.clone, torch.detach, "Tensor.contiguous", "Tensor.clone", "Tensor.detach")
        + ("Tensor.detach_", "Tensor.data", "Tensor.to", "Tensor.float", "Tensor.double")
        + ("Tensor.cpu", "Tensor.cuda", "Tensor.type_as", "Tensor.requires_grad_"),
        ("other", "dtype", "device", "non_blocking", "copy", "memory_format", "requires_grad"),
        (nn.Identity,),
    ),
    OperatorRow(
        "dropout",
        (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d),
        ("p", "training", "inplace"),
        settings=dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), _evaluating),
    ),
    OperatorRow(
        "alpha_dropout",
        (F.alpha_dropout, F.feature_alpha_dropout),
        ("p", "training", "inplace"),
        settings=dict.fromkeys((nn.AlphaDropout, nn.FeatureAlphaDropout), _evaluating),
    ),
)

_OF_CALLS = {call: row for row in OPERATORS for call in row.calls}
_OF_MODULES = {kind: row for row in OPERATORS for kind in (*row.modules, *row.settings)}


def operator_of_call(target: Any) -> OperatorRow | None:
    """Row of a function, or of a method such as ``"Tensor.relu"``; None if there is none."""
    return _OF_CALLS.get(target)


def operator_of_module(kind: type[nn.Module]) -> OperatorRow | None:
    """Row of modules of exactly this type; a subclass may compute something else."""
    return _OF_MODULES.get(kind)
