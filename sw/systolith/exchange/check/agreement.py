"""Comparison of an imported network with its file's own executor: by layer and end to end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from systolith.exchange.check.counterparts import Counterpart
from systolith.exchange.check.executors import EXECUTORS, Arrays, Executor, ExecutorError
from systolith.exchange.check.sample_images import draw_images
from systolith.exchange.check.tolerance import Bounds, bound_results
from systolith.exchange.file.loading import model_inputs
from systolith.exchange.values.quantizer import InputQuantizer
from systolith.exchange.values.requantizers import Affine
from systolith.network import (
    INPUT,
    Conv2d,
    IntArray,
    IntegerNetwork,
    Layer,
    Linear,
    apply_layer,
)

__all__ = ["Agreement", "DisagreementError", "compare_with_executor"]

MAX_IMAGES = 16
MULTIPLICATIONS = 1 << 25
"""Approximate multiplications for all images together; at least two images are run."""
REPORT_HINT = "please report this with the file; --no-check (check=False) imports it all the same"
INPUT_SHARE = 1e-3
"""Share of input values that float32 may round to a neighbouring integer."""


class DisagreementError(Exception):
    """An imported network computes something else than the file's own executor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Result of the comparison of an imported network with the file's own executor.

    Attributes
    ----------
    executor : str or None
        Name and version; None if no program ran the file.
    reason : str
        Why no program ran the file.
    images : int
        Number of images.
    given : bool
        Whether they are the user's images; otherwise they are random.
    values, differing : int
        Number of output values, and of those that differ as integers.
    steps : int
        Greatest difference of an output value, in units of its type.
    layers : int
        Number of layers that were compared one by one, each with the executor's inputs. All
        differences there are explained by `units` and by the executor's float32.
    inner, apart : int
        Number of values of these layers, and of those that differ.
    """

    executor: str | None
    reason: str = ""
    images: int = 0
    given: bool = False
    values: int = 0
    differing: int = 0
    steps: int = 0
    layers: int = 0
    inner: int = 0
    apart: int = 0

    @property
    def equal(self) -> bool:
        """Whether a program ran the file and all results are equal."""
        return self.executor is not None and not self.differing

    def __str__(self) -> str:
        if self.executor is None:
            return f"not compared: {self.reason}"
        kind = "given" if self.given else "random"
        head = f"{self.executor} on {_count(self.images, f'{kind} image')}"
        if self.equal:
            return f"equal to {head}, all {_count(self.values, 'result')}"
        return (
            f"beside {head}, {self.differing:,} of {_count(self.values, 'result')} differ "
            f"({self.differing / self.values:.1%}), by at most {_count(self.steps, 'step')}; of "
            f"{_count(self.layers, 'layer')} alone, {self.apart:,} of {_count(self.inner, 'value')}"
            ", where its float32 comes to the other side of a half"
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)


def compare_with_executor(
    model: ModelProto,
    network: IntegerNetwork,
    source: InputQuantizer,
    tensors: Mapping[str, Counterpart],
    units: Mapping[str, float],
    *,
    reals: Mapping[str, Affine] | None = None,
    images: int | None = None,
    given: NDArray[Any] | None = None,
    whole: bool = False,
) -> Agreement:
    """Run the file and the network on images and compare them.

    Each layer is computed from the executor's inputs, so that differences do not add up. A
    difference that `units` and float32 do not explain is an error.

    Parameters
    ----------
    model : ModelProto
    network : IntegerNetwork
        The imported network.
    source : InputQuantizer
    tensors : dict of str to Counterpart
        Tensors of the file, by layer, with the network's input.
    units : dict of str to float
        Greatest difference of a result from the file's before rounding, by layer.
    reals : dict of str to Affine, optional
        The file's result before rounding, by layer; by default, the layer's own.
    images : int, optional
        Number of images; by default 16 for small networks, down to 2 for large ones.
    given : array, shape (N, *shape of the file's input), optional
        Images to compare on; the first ones are taken. Default: random images.
    whole : bool
        Whether images must be whole numbers of the input's steps, because the file does not round
        them.

    Raises
    ------
    DisagreementError
        If a result differs by more; it names the first such layer.
    """
    batch, dtype = _input_of(model)
    count = _affordable(network) if images is None else images
    size = max(batch, count // batch * batch)
    if given is not None and len(given) >= batch:
        drawn = given[: min(size, len(given) // batch * batch)].astype(dtype)
    else:
        given, drawn = None, draw_images(source, size, dtype, whole=whole)
    existing = {
        name: counterpart
        for name, counterpart in tensors.items()
        if _exists(model, counterpart.tensor)
    }
    reasons = []
    for executor in EXECUTORS:
        if not executor.runs(model):
            continue
        try:
            names = sorted({counterpart.tensor for counterpart in existing.values()})
            computed = executor.run(model, drawn, names)
        except ExecutorError as error:
            reasons.append(f"{executor} does not run it ({error})")
            continue
        check = _Check(network, units, reals or {}, executor, existing, computed)
        check.compare_layers(source.quantize(drawn))
        return replace(check.agreement(), given=given is not None)
    return Agreement(executor=None, reason="; ".join(reasons) or "no program here runs such files")


class _Check:
    """The comparison of layers with one run of the file's executor."""

    def __init__(
        self,
        network: IntegerNetwork,
        units: Mapping[str, float],
        reals: Mapping[str, Affine],
        executor: Executor,
        tensors: Mapping[str, Counterpart],
        computed: Arrays,
    ) -> None:
        self.network, self.executor = network, executor
        self.units, self.reals = units, reals
        self.tensors, self.computed = tensors, computed
        self.scales = {name: counterpart.scale for name, counterpart in tensors.items()}
        self.ours: dict[str, IntArray] = {}
        self.compared = self.inner = self.apart = 0

    def compare_layers(self, inputs: IntArray) -> None:
        """Compute every layer from the executor's inputs, and compare."""
        known = {INPUT: self._input(inputs)}
        self.ours[INPUT] = inputs
        for layer in self.network.layers:
            bounds = bound_results(
                layer,
                [known[name] for name in layer.inputs],
                self.network.inputs_of(layer),
                real=self.reals.get(layer.name),
                units=self.units.get(layer.name, 0.0),
                scales=[self.scales.get(name) for name in (layer.name, *layer.inputs)],
            )
            theirs = self._theirs(layer.name)
            if theirs is not None and bounds is not None:
                self._compare_layer(layer, bounds, theirs)
            known[layer.name] = self._choose_input(layer, bounds, theirs)
            self.ours[layer.name] = self._end_to_end(layer, bounds, known)

    def _end_to_end(
        self, layer: Layer, bounds: Bounds | None, known: Mapping[str, Bounds]
    ) -> IntArray:
        """Compute a layer in the network itself, reusing its result while all inputs are equal."""
        before = [self.ours[name] for name in layer.inputs]
        if bounds is not None and all(
            np.array_equal(ours, known[name].value)
            for ours, name in zip(before, layer.inputs, strict=True)
        ):
            return bounds.value
        return apply_layer(layer, before, self.network.inputs_of(layer))

    def agreement(self) -> Agreement:
        """Compare outputs end to end, with the differences of all layers before them."""
        values = differing = steps = 0
        for name in self.network.outputs:
            theirs = self._theirs(name)
            if theirs is None:
                continue
            distance = np.abs(self.tensors[name].arrange(self.ours[name]) - theirs)
            values, differing = values + distance.size, differing + int((distance > 0).sum())
            steps = max(steps, int(distance.max(initial=0)))
        return Agreement(
            executor=str(self.executor),
            images=len(self.ours[INPUT]),
            values=values,
            differing=differing,
            steps=steps,
            layers=self.compared,
            inner=self.inner,
            apart=self.apart,
        )

    def _input(self, ours: IntArray) -> Bounds:
        theirs = self._theirs(INPUT)
        if theirs is None:
            return Bounds.of(ours)
        arranged = self.tensors[INPUT].arrange(ours)
        distance = np.abs(theirs - arranged)
        if distance.max(initial=0) > 1 or (distance > 0).mean() > INPUT_SHARE:
            raise DisagreementError(
                f"the input is quantized in another way than by {self.executor} (tensor "
                f"'{self.tensors[INPUT].tensor}'): {_difference(arranged, arranged, theirs)}; "
                f"{REPORT_HINT}"
            )
        return self._inner(INPUT, theirs)

    def _compare_layer(self, layer: Layer, ours: Bounds, theirs: IntArray) -> None:
        counterpart = self.tensors[layer.name]
        low, high = counterpart.arrange(ours.low), counterpart.arrange(ours.high)
        if low.shape != theirs.shape:
            raise DisagreementError(
                f"layer '{layer.name}' gives results of shape {low.shape[1:]}, tensor "
                f"'{counterpart.tensor}' of {self.executor} has {theirs.shape[1:]}; {REPORT_HINT}"
            )
        if ((theirs < low) | (theirs > high)).any():
            raise DisagreementError(
                f"layer '{layer.name}' does not compute what {self.executor} does (tensor "
                f"'{counterpart.tensor}'), given the same input: {_difference(low, high, theirs)}; "
                f"{REPORT_HINT}"
            )
        self.compared += 1
        self.inner += theirs.size
        self.apart += int((counterpart.arrange(ours.value) != theirs).sum())

    def _choose_input(self, layer: Layer, ours: Bounds | None, theirs: IntArray | None) -> Bounds:
        """Choose the input of the layers after it: the executor's result if it is known."""
        if theirs is None:
            assert ours is not None
            return ours
        return self._inner(layer.name, theirs)

    def _inner(self, name: str, theirs: IntArray) -> Bounds:
        """Bring the executor's result into the network's order."""
        places = self.tensors[name].places
        if places is None:
            return Bounds.of(theirs)
        shape = self.network.tensors[name].shape
        flat = np.zeros((len(theirs), int(np.prod(shape))), dtype=np.int64)
        flat[:, places] = theirs
        return Bounds.of(flat.reshape(-1, *shape))

    def _theirs(self, name: str) -> IntArray | None:
        """Give the executor's result as integers, in the file's order; None if unknown."""
        if name not in self.tensors:
            return None
        act = self.network.tensors[name].type
        real = self.tensors[name].to_integers(
            self.computed[self.tensors[name].tensor], act.zero_point
        )
        if not np.isfinite(real).all():
            return np.full(real.shape, act.high + 1)
        return np.rint(np.clip(real, act.low - 1, act.high + 1)).astype(np.int64)


def _difference(low: IntArray, high: IntArray, theirs: IntArray) -> str:
    """Describe how many values differ, by how much, and the first of them."""
    distance = np.maximum(low - theirs, theirs - high)
    wrong = distance > 0
    first = tuple(int(axis[0]) for axis in np.nonzero(wrong))
    ours = f"{low[first]}" if low[first] == high[first] else f"{low[first]}..{high[first]}"
    return (
        f"{int(wrong.sum()):,} of {wrong.size:,} values differ, by up to {int(distance.max())} "
        f"steps; the first at {first}: {int(theirs[first])} instead of {ours}"
    )


def _affordable(network: IntegerNetwork) -> int:
    """Choose a number of images that takes little time."""
    work = 1
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            pixels = network.tensors[layer.name].pixels
            work += layer.weight.size * pixels
    return max(2, min(MAX_IMAGES, MULTIPLICATIONS // work))


def _input_of(model: ModelProto) -> tuple[int, np.dtype[np.generic]]:
    """Read the batch size, 1 if it is open, and the type of the images."""
    (source,) = model_inputs(model)
    sizes = source.type.tensor_type.shape.dim
    batch = sizes[0].dim_value if sizes and sizes[0].dim_value > 0 else 1
    dtype = helper.tensor_dtype_to_np_dtype(source.type.tensor_type.elem_type)
    return batch, np.dtype(dtype)


def _exists(model: ModelProto, tensor: str) -> bool:
    return any(tensor in node.output for node in model.graph.node)
