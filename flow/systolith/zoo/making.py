"""Networks of the zoo, quantized after calibration with seeded random inputs, or trained."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from systolith.data import load_digits
from systolith.exchange import ImportedModel, import_onnx, quantize_onnx
from systolith.frontend import IntegerModel, lower, mirror
from systolith.network import IntArray, IntegerNetwork
from systolith.quant import QuantConfig, prepare
from systolith.train import evaluate, fit
from systolith.zoo.entries import Door, ZooEntry

__all__ = ["ZooNetwork", "make_network"]

CALIBRATION = 64
"""Random inputs by which steps and statistics of batch norms are chosen."""
OPSET = 17
"""Operator set of exported files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooNetwork:
    """An integer network of the zoo.

    Parameters
    ----------
    entry : ZooEntry
        What it was made from.
    network : IntegerNetwork
        The integer network.
    parameters : int
        Trained parameters of the float model.
    accuracy : float, optional
        Share of the test images that the integers classify correctly; None for random weights.
    reference : callable
        Computes every layer of input integers, in PyTorch; keys as :func:`systolith.network.trace`.
    weights : mapping of str to Tensor
        State of the float model; empty if ONNX Runtime quantized it.
    check : str
        What the network was compared with on its way, if its door compares.
    """

    entry: ZooEntry
    network: IntegerNetwork
    parameters: int
    accuracy: float | None
    reference: Callable[[IntArray], dict[str, IntArray]]
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    check: str = ""

    @property
    def executor(self) -> str:
        """Who computed the network besides this package's own arithmetic."""
        if self.entry.door is Door.ONNX:
            return "ONNX Runtime"
        return "PyTorch, the model in integer mode"


def make_network(entry: ZooEntry, seed: int = 0) -> ZooNetwork:
    """Make a network of the zoo: the same seed gives the same integers on the same machine.

    Parameters
    ----------
    entry : ZooEntry
        Its model gets random weights, or is trained on the bundled digits.
    seed : int
        Seed of the weights, of the calibration and of the training.

    Raises
    ------
    UnsupportedModelError
        If the door does not take the model yet; all problems are listed.
    """
    model: nn.Module = entry.make_model(seed)
    parameters = sum(values.numel() for values in model.parameters())
    if entry.epochs:
        return _trained(entry, model, parameters, seed)
    inputs = torch.rand(CALIBRATION, *entry.shape, generator=torch.Generator().manual_seed(seed))
    settle_statistics_(model, inputs)
    if entry.door is Door.ONNX:
        imported = _import_with_runtime(model, inputs, entry.name)
        return ZooNetwork(
            entry=entry,
            network=imported.network,
            parameters=parameters,
            accuracy=None,
            reference=mirror(imported.network).trace,
            check=str(imported.agreement),
        )
    weights = copy_state(model)
    quantized = prepare(model, inputs, QuantConfig(weight_bits=entry.weight_bits))
    return ZooNetwork(
        entry=entry,
        network=lower(quantized, name=entry.name),
        parameters=parameters,
        accuracy=None,
        reference=IntegerModel(quantized).trace,
        weights=weights,
    )


def copy_state(model: nn.Module) -> dict[str, Tensor]:
    """Copy the state of a model, which later training does not change."""
    return {name: values.clone() for name, values in model.state_dict().items()}


def settle_statistics_(model: nn.Module, inputs: Tensor) -> None:
    """Set the statistics of batch norms to those of the inputs, and end in evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        model(inputs)
    model.eval()


def _trained(entry: ZooEntry, model: nn.Module, parameters: int, seed: int) -> ZooNetwork:
    data = load_digits(seed)
    fit(model, data, epochs=entry.epochs, seed=seed)
    weights = copy_state(model)
    quantized = prepare(model, data.calibration_images, QuantConfig(weight_bits=entry.weight_bits))
    fit(quantized, data, epochs=1, learning_rate=5e-4, seed=seed)
    integers = IntegerModel(quantized)
    return ZooNetwork(
        entry=entry,
        network=lower(quantized, name=entry.name),
        parameters=parameters,
        accuracy=float(evaluate(integers.logits, data.test_images, data.test_labels)),
        reference=integers.trace,
        weights=weights,
    )


def _import_with_runtime(model: nn.Module, inputs: Tensor, name: str) -> ImportedModel:
    """Export a float model, let ONNX Runtime quantize it, and import the file."""
    with tempfile.TemporaryDirectory() as folder:
        plain, path = (Path(folder) / f"{stem}.onnx" for stem in ("float", name))
        torch.onnx.export(
            model,
            (inputs[:1],),
            str(plain),
            dynamo=False,
            opset_version=OPSET,
            input_names=["images"],
            dynamic_axes={"images": {0: "batch"}},
        )
        onnx.save(quantize_onnx(plain, inputs.numpy()), path)
        return import_onnx(path)
