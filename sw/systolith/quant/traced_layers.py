"""What tracing gives: layers of a float model, in the terms of hardware."""

from dataclasses import dataclass

from torch import nn

from systolith.quant.operations import Operation
from systolith.quant.requantizing import Activation

__all__ = ["Trace", "TracedLayer"]


@dataclass(kw_only=True)
class TracedLayer:
    """One layer of hardware: an operation with what has been fused into it.

    Parameters
    ----------
    name : str
        Readable and unique.
    qualified_name : str
        Of the module, such as ``"layer1.0.conv1"``; of a function call, its readable name.
    operation : Convolve, Multiply, AddUp, AveragePool, MaxPool or Flatten
    inputs : tuple of str
        Layers read.
    norm : nn.BatchNorm2d or nn.BatchNorm1d, optional
        To fold into the convolution or linear layer.
    activation : Activation
        To fuse.
    reference : str
        Name of the node of the recording whose value this layer computes; empty if an activation
        has moved, so that the model has no such value.
    title : str
        Of the node that the layer was made of, for messages.
    """

    name: str
    qualified_name: str
    operation: Operation
    inputs: tuple[str, ...]
    norm: nn.BatchNorm2d | nn.BatchNorm1d | None = None
    activation: Activation = Activation.NONE
    reference: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The layers of a model.

    Parameters
    ----------
    layers : list of TracedLayer
        In an order in which every layer comes after its inputs; the last one is the output.
    notes : tuple of str
        What was left out because it does not change the predicted class.
    output : str
        Name of the node of the recording whose value the last layer computes.
    fixed_shape : bool
        Whether layers may depend on the images' height and width, which were numbers to the model.
    """

    layers: list[TracedLayer]
    notes: tuple[str, ...]
    output: str
    fixed_shape: bool
