"""An imported network beside its file's own executor: layer by layer, and from end to end."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto, helper

from systolith.exchange.check.counterparts import Counterpart
from systolith.exchange.check.executors import EXECUTORS, Arrays, Executor, ExecutorError
from systolith.exchange.check.sample_images import draw_images
from systolith.exchange.check.tolerance import Bounds, bound_results
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

MOST_IMAGES = 16
MULTIPLICATIONS = 1 << 25
"""Of all images together, about; but two images are run in any case."""
REPORT = "please report this with the file; --no-check (check=False) imports it all the same"
INPUT_SHARE = 1e-3
"""Of input values that two orders of float operations may round to neighbouring integers."""


class DisagreementError(Exception):
    """An imported network that does not compute what the file's own executor does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far an imported network's results are those of the file's own executor.

    Attributes
    ----------
    executor : str or None
        Name and version; None if nothing ran the file.
    reason : str
        Why not, then.
    images : int
        How many were compared.
    values : int
        Elements of all outputs for them.
    differing : int
        How many of these differ, as integers of the outputs' types.
    steps : int
        By how many of their units at most.
    layers : int
        How many layers were compared one by one, each given what the executor's layers before
        it gave; every difference there is one that `units` and the executor's float32 explain.
    inner : int
        Elements of their results.
    apart : int
        How many of these differ.
    """

    executor: str | None
    reason: str = ""
    images: int = 0
    values: int = 0
    differing: int = 0
    steps: int = 0
    layers: int = 0
    inner: int = 0
    apart: int = 0

    @property
    def equal(self) -> bool:
        """Whether something ran the file, and all results are equal."""
        return self.executor is not None and not self.differing

    def __str__(self) -> str:
        if self.executor is None:
            return f"not compared: {self.reason}"
        head = f"{self.executor} on {_count(self.images, 'random image')}"
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
    whole: bool = False,
) -> Agreement:
    """Run the file and the network on random images.

    Each layer is computed from what the executor gives before it, so that differences do not add
    up: what `units` and float32 do not explain there is a fault.

    Parameters
    ----------
    model : ModelProto
    network : IntegerNetwork
        What it became.
    source : InputQuantizer
    tensors : dict of str to Counterpart
        By layer, and the network's input.
    units : dict of str to float
        By layer: how far its result may be from the file's before it is rounded.
    reals : dict of str to Affine, optional
        By layer: what the file computes there before it rounds; where it is not told, what the
        network does.
    images : int, optional
        How many; by default some for small networks, two for large ones.
    whole : bool
        Whether images must be whole numbers of the input's steps, as the file does not round them.

    Raises
    ------
    DisagreementError
        Naming the first layer whose results differ by more.
    """
    batch, dtype = _input_of(model)
    count = _affordable(network) if images is None else images
    drawn = draw_images(source, max(batch, count // batch * batch), dtype, whole=whole)
    shown = {name: each for name, each in tensors.items() if _exists(model, each.tensor)}
    said = []
    for executor in EXECUTORS:
        if not executor.runs(model):
            continue
        try:
            ran = executor.run(model, drawn, sorted({each.tensor for each in shown.values()}))
        except ExecutorError as error:
            said.append(f"{executor} does not run it ({error})")
            continue
        check = _Check(network, units, reals or {}, executor, shown, ran)
        check.layers(source.quantize(drawn))
        return check.agreement()
    return Agreement(executor=None, reason="; ".join(said) or "no program here runs such files")


class _Check:
    """One run of the file's executor, beside which layers are put."""

    def __init__(
        self,
        network: IntegerNetwork,
        units: Mapping[str, float],
        reals: Mapping[str, Affine],
        executor: Executor,
        tensors: Mapping[str, Counterpart],
        ran: Arrays,
    ) -> None:
        self.network, self.executor = network, executor
        self.units, self.reals = units, reals
        self.tensors, self.ran = tensors, ran
        self.scales = {name: each.scale for name, each in tensors.items()}
        self.ours: dict[str, IntArray] = {}
        self.compared = self.inner = self.apart = 0

    def layers(self, inputs: IntArray) -> None:
        """Compute every layer from what the executor gives before it, and compare."""
        known = {INPUT: self._input(inputs)}
        self.ours[INPUT] = inputs
        for layer in self.network.layers:
            found = bound_results(
                layer,
                [known[name] for name in layer.inputs],
                self.network.inputs_of(layer),
                real=self.reals.get(layer.name),
                units=self.units.get(layer.name, 0.0),
                scales=[self.scales.get(name) for name in (layer.name, *layer.inputs)],
            )
            theirs = self._theirs(layer.name)
            if theirs is not None and found is not None:
                self._see(layer, found, theirs)
            known[layer.name] = self._agreed(layer, found, theirs)
            self.ours[layer.name] = self._from_end_to_end(layer, found, known)

    def _from_end_to_end(
        self, layer: Layer, found: Bounds | None, known: Mapping[str, Bounds]
    ) -> IntArray:
        """What the network gives; the same as beside the executor until something differs."""
        before = [self.ours[name] for name in layer.inputs]
        if found is not None and all(
            np.array_equal(ours, known[name].value)
            for ours, name in zip(before, layer.inputs, strict=True)
        ):
            return found.value
        return apply_layer(layer, before, self.network.inputs_of(layer))

    def agreement(self) -> Agreement:
        """Compare results from end to end, each with differences of all layers before it."""
        values = differing = steps = 0
        for name in self.network.outputs:
            theirs = self._theirs(name)
            if theirs is None:
                continue
            away = np.abs(self.tensors[name].arranged(self.ours[name]) - theirs)
            values, differing = values + away.size, differing + int((away > 0).sum())
            steps = max(steps, int(away.max(initial=0)))
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
        arranged = self.tensors[INPUT].arranged(ours)
        away = np.abs(theirs - arranged)
        if away.max(initial=0) > 1 or (away > 0).mean() > INPUT_SHARE:
            raise DisagreementError(
                f"the input is quantized in another way than by {self.executor} (tensor "
                f"'{self.tensors[INPUT].tensor}'): {_difference(arranged, arranged, theirs)}; "
                f"{REPORT}"
            )
        return self._inner(INPUT, theirs)

    def _see(self, layer: Layer, ours: Bounds, theirs: IntArray) -> None:
        counterpart = self.tensors[layer.name]
        low, high = counterpart.arranged(ours.low), counterpart.arranged(ours.high)
        if low.shape != theirs.shape:
            raise DisagreementError(
                f"layer '{layer.name}' gives results of shape {low.shape[1:]}, tensor "
                f"'{counterpart.tensor}' of {self.executor} has {theirs.shape[1:]}; {REPORT}"
            )
        if ((theirs < low) | (theirs > high)).any():
            raise DisagreementError(
                f"layer '{layer.name}' does not compute what {self.executor} does (tensor "
                f"'{counterpart.tensor}'), given the same input: {_difference(low, high, theirs)}; "
                f"{REPORT}"
            )
        self.compared += 1
        self.inner += theirs.size
        self.apart += int((counterpart.arranged(ours.value) != theirs).sum())

    def _agreed(self, layer: Layer, ours: Bounds | None, theirs: IntArray | None) -> Bounds:
        """What the layers after it are given."""
        if theirs is None:
            assert ours is not None
            return ours
        return self._inner(layer.name, theirs)

    def _inner(self, name: str, theirs: IntArray) -> Bounds:
        """What the executor gives, in the network's order."""
        places = self.tensors[name].places
        if places is None:
            return Bounds.of(theirs)
        shape = self.network.tensors[name].shape
        flat = np.zeros((len(theirs), int(np.prod(shape))), dtype=np.int64)
        flat[:, places] = theirs
        return Bounds.of(flat.reshape(-1, *shape))

    def _theirs(self, name: str) -> IntArray | None:
        """What the executor gives for a layer, as integers, in the file's order."""
        if name not in self.tensors:
            return None
        act = self.network.tensors[name].type
        real = self.tensors[name].integers(self.ran[self.tensors[name].tensor], act.zero_point)
        if not np.isfinite(real).all():
            return np.full(real.shape, act.high + 1)
        return np.rint(np.clip(real, act.low - 1, act.high + 1)).astype(np.int64)


def _difference(low: IntArray, high: IntArray, theirs: IntArray) -> str:
    """Say how many values differ, how far, and where first."""
    away = np.maximum(low - theirs, theirs - high)
    wrong = away > 0
    first = tuple(int(axis[0]) for axis in np.nonzero(wrong))
    ours = f"{low[first]}" if low[first] == high[first] else f"{low[first]}..{high[first]}"
    return (
        f"{int(wrong.sum()):,} of {wrong.size:,} values differ, by up to {int(away.max())} steps; "
        f"the first at {first}: {int(theirs[first])} instead of {ours}"
    )


def _affordable(network: IntegerNetwork) -> int:
    """How many images take little time."""
    work = 1
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            pixels = prod(network.tensors[layer.name].shape[1:])
            work += layer.weight.size * pixels
    return max(2, min(MOST_IMAGES, MULTIPLICATIONS // work))


def _input_of(model: ModelProto) -> tuple[int, np.dtype[np.generic]]:
    """Batch, 1 where any is read, and type of the images."""
    stored = {each.name for each in model.graph.initializer}
    (source,) = (each for each in model.graph.input if each.name not in stored)
    sizes = source.type.tensor_type.shape.dim
    batch = sizes[0].dim_value if sizes and sizes[0].dim_value > 0 else 1
    dtype = helper.tensor_dtype_to_np_dtype(source.type.tensor_type.elem_type)
    return batch, np.dtype(dtype)


def _exists(model: ModelProto, tensor: str) -> bool:
    return any(tensor in node.output for node in model.graph.node)
