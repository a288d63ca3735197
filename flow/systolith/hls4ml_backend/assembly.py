"""The layers of an integer network while a graph is mapped."""

import re
from collections.abc import Sequence
from dataclasses import replace

from systolith.hls4ml_backend.form import Form, choose_substitute
from systolith.hls4ml_backend.tensors import Make, PendingTensor, TraceRecipe, image_view
from systolith.network import (
    INPUT,
    MAX_ACT_BITS,
    ActType,
    AvgPool2d,
    IntArray,
    IntegerNetwork,
    Layer,
    NetworkError,
    Requantize,
    Tensor,
)

__all__ = ["Assembly"]

TAKEN = {f"o_{number}" for number in range(64)} | {
    INPUT,
    "i",
    "o",
    "clk",
    "rst",
    "load",
    "loaded",
    "overflow",
}
"""Signal names of the design that no layer may have."""
PLAIN = Requantize(multiplier=[1], shift=[0])  # type: ignore[arg-type]
NARROW = ActType(bits=2, signed=True)


class Assembly:
    """The layers, tensors and problems so far.

    Attributes
    ----------
    problems : list of str
    layers : list of Layer
    recipes : dict of str to TraceRecipe
        How to compute the output of each layer of hls4ml.
    origins : dict of str to str
        Layer of hls4ml, by layer of the network.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.layers: list[Layer] = []
        self.recipes: dict[str, TraceRecipe] = {}
        self._tensors: dict[str, Tensor] = {}
        self._names = set(TAKEN)
        self.origins: dict[str, str] = {}

    def add_input(self, tensor: Tensor) -> None:
        """Set the network's input."""
        self._tensors[INPUT] = tensor

    def refuse(self, layer: str, problem: str) -> None:
        """Report a problem of a layer, once."""
        text = f"layer '{layer}': {problem}"
        if text not in self.problems:
            self.problems.append(text)

    def accumulate(
        self,
        layer: str,
        make: Make,
        inputs: Sequence[PendingTensor],
        fraction: int,
        view: IntArray | int,
    ) -> PendingTensor | None:
        """Give the accumulators of a layer that is made later.

        Parameters
        ----------
        layer : str
            Layer of hls4ml.
        make : callable
            Makes the layer.
        inputs : sequence of PendingTensor
            Its inputs, from :meth:`make_tensor`.
        fraction : int
            Fractional bits of its accumulators.
        view : array of int64, or int
            View of its output, or the number of dimensions that hls4ml gives it.

        Returns
        -------
        Value or None
            None if there is no such layer; the problem was reported.
        """
        tensors = [self._tensors[value.source] for value in inputs]
        name = self.claim_name(layer)
        try:
            trial = make(name, PLAIN, NARROW)
            shapes = [tensor.shape for tensor in tensors]
            NetworkError.raise_if_any(trial.problems(shapes))
            shape = trial.output_shape(shapes)
            low, high = trial.accumulator_range(tensors)
        except NetworkError as error:
            for problem in error.problems:
                self.refuse(layer, problem.removeprefix(f"layer '{name}': "))
            return None
        form = Form(fraction=fraction, low=low, high=high)
        channels, height, width = shape
        output_view = self._find_view(layer, (channels, height, width), view)
        if output_view is None:
            return None
        return PendingTensor(
            source=name, form=form, view=output_view, shape=(channels, height, width), make=make
        )

    def _find_view(
        self, layer: str, shape: tuple[int, int, int], view: IntArray | int
    ) -> IntArray | None:
        """Find the view of a layer's output; report a problem and return None if there is none."""
        if not isinstance(view, int):
            return view
        if (image := image_view(shape, view)) is None:
            self.refuse(layer, f"has an output (C, H, W) = {shape}, which has no {view} dimensions")
        return image

    def add_layer(
        self, layer: str, made: Layer, read: PendingTensor, view: int
    ) -> PendingTensor | None:
        """Append a layer without accumulators, which keeps the type of its input."""
        tensor = self._tensors[read.source]
        if problems := list(made.problems([tensor.shape])):
            for problem in problems:
                self.refuse(layer, problem)
            return None
        channels, height, width = shape = made.output_shape([tensor.shape])
        output_view = self._find_view(layer, (channels, height, width), view)
        if output_view is None:
            return None
        self.layers.append(made)
        self._tensors[made.name] = Tensor(shape, tensor.type)
        return replace(
            read,
            source=made.name,
            view=output_view,
            shape=(channels, height, width),
            padding=(0, 0, 0, 0),
        )

    def record(self, layer: str, value: PendingTensor) -> None:
        """Record how to compute a layer's output."""
        self.recipes[layer] = TraceRecipe(
            source=value.source,
            accumulators=value.make is not None,
            fraction=value.form.fraction,
            steps=tuple(named.step for named in value.steps),
            view=value.view,
            padding=value.padding,
        )

    def make_tensor(self, layer: str, value: PendingTensor) -> PendingTensor | None:
        """Make the layers that turn a value into a tensor of the network.

        Parameters
        ----------
        layer : str
            Layer of the output, for messages.
        value : PendingTensor

        Returns
        -------
        Value or None
            The tensor, without `steps`; None if it is impossible, which was reported.
        """
        form, source, make = value.form, value.source, value.make
        for named in value.steps:
            step = named.step
            if problem := step.problem(form):
                self.refuse(named.layer, problem)
                # The layers after it are checked with a simpler step.
                step = choose_substitute(step)
            if (joined := step.append_to(form)) is None:
                source, form = self._append(layer, source, make, form, value.shape)
                make = None
                joined = step.append_to(form)
            if joined is None:
                self.refuse(named.layer, f"no requantization does {step}")
                return None
            form, layer = joined, named.layer
        if make is not None or not form.changes_nothing:
            source, form = self._append(layer, source, make, form, value.shape)
        return replace(value, source=source, make=None, steps=(), form=form)

    def make_network(self, outputs: Sequence[str], name: str) -> IntegerNetwork:
        """Make the network; raises NetworkError if its layers do not fit together."""
        return IntegerNetwork(
            input=self._tensors[INPUT],
            layers=tuple(self.layers),
            outputs=tuple(outputs),
            name=_identifier(name),
        )

    def _append(
        self,
        layer: str,
        source: str,
        make: Make | None,
        form: Form,
        shape: tuple[int, int, int],
    ) -> tuple[str, Form]:
        """Append the layer of a form; return its name and the form of its output.

        A result that is too wide is reported, and the layers after it are checked with a narrower
        one.
        """
        if form.type is None:
            self.refuse(
                layer,
                f"its result has the values {form.low}..{form.high} with {form.fraction} "
                f"fractional bits, more than {MAX_ACT_BITS} bits; set Precision.result to at most "
                f"{MAX_ACT_BITS} bits, and Precision.accum to 'auto' or to a type that no sum "
                "overflows",
            )
            widest = ActType(bits=MAX_ACT_BITS, signed=form.low < 0)
            form = replace(form, wrap=None).clip(widest.low, widest.high)
        output = form.type
        assert output is not None
        name = source if make is not None else self.claim_name(layer)
        made: Layer
        if make is not None:
            made = make(name, form.requantize(), output)
        else:
            made = AvgPool2d(
                name=name,
                input=source,
                kernel_size=(1, 1),
                requantize=form.requantize(),
                output=output,
            )
        self.layers.append(made)
        self._tensors[name] = Tensor(shape, output)
        return name, Form(fraction=form.fraction, low=form.low, high=form.high)

    def claim_name(self, layer: str) -> str:
        """Choose an unused name for a layer."""
        base = _identifier(layer)
        name, number = base, 2
        while name in self._names:
            name, number = f"{base}_{number}", number + 1
        self._names.add(name)
        self.origins[name] = layer
        return name


def _identifier(name: str) -> str:
    text = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"n{text}" if not text or text[0].isdigit() else text
