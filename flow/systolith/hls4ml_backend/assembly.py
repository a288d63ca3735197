"""The network as it grows: layers made where values have to be tensors."""

import re
from collections.abc import Sequence
from dataclasses import replace

from systolith.hls4ml_backend.form import MAX_ACT_BITS, Form, choose_substitute
from systolith.hls4ml_backend.tensors import Make, PendingTensor, TraceRecipe, image_view
from systolith.network import (
    INPUT,
    ActType,
    AvgPool2d,
    IntArray,
    IntegerNetwork,
    Layer,
    NetworkError,
    Requantize,
    Tensor,
    accumulator_range,
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
"""Names that the design has for itself."""
PLAIN = Requantize(multiplier=[1], shift=[0])  # type: ignore[arg-type]
NARROW = ActType(bits=2, signed=True)


class Assembly:
    """Layers, tensors and problems so far.

    Attributes
    ----------
    problems : list of str
    layers : list of Layer
    recipes : dict of str to TraceRecipe
        By layer of hls4ml.
    origins : dict of str to str
        The layer of hls4ml that each layer of the network was made for.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.layers: list[Layer] = []
        self.recipes: dict[str, TraceRecipe] = {}
        self._tensors: dict[str, Tensor] = {}
        self._names = set(TAKEN)
        self.origins: dict[str, str] = {}

    def add_input(self, tensor: Tensor) -> None:
        """Say what the network reads."""
        self._tensors[INPUT] = tensor

    def refuse(self, layer: str, problem: str) -> None:
        """Note a problem, once."""
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
        """See the accumulators of a layer to be made as a value.

        Parameters
        ----------
        layer : str
            Of hls4ml.
        make : callable
        inputs : sequence of PendingTensor
            Tensors that it reads, see :meth:`tensor`.
        fraction : int
            Of its accumulators.
        view : array of int64, or int
            Of its output; or the rank that hls4ml gives it.

        Returns
        -------
        Value or None
            None if there is no such layer, of which the problem was noted.
        """
        tensors = [self._tensors[value.source] for value in inputs]
        name = self.name(layer)
        try:
            trial = make(name, PLAIN, NARROW)
            shapes = [tensor.shape for tensor in tensors]
            if found := list(trial.problems(shapes)):
                raise NetworkError(found)
            shape = trial.output_shape(shapes)
            low, high = accumulator_range(
                trial, [(tensor.shape, tensor.type) for tensor in tensors]
            )
        except NetworkError as error:
            for problem in error.problems:
                self.refuse(layer, problem.removeprefix(f"layer '{name}': "))
            return None
        form = Form(fraction=fraction, low=low, high=high)
        channels, height, width = shape
        seen = self._seen(layer, (channels, height, width), view)
        if seen is None:
            return None
        return PendingTensor(
            source=name, form=form, view=seen, shape=(channels, height, width), make=make
        )

    def _seen(
        self, layer: str, shape: tuple[int, int, int], view: IntArray | int
    ) -> IntArray | None:
        """Find the view of a layer's output. If there is none, note a problem and return None."""
        if not isinstance(view, int):
            return view
        if (found := image_view(shape, view)) is None:
            self.refuse(layer, f"has an output (C, H, W) = {shape}, which has no {view} dimensions")
        return found

    def add_layer(
        self, layer: str, made: Layer, read: PendingTensor, view: int
    ) -> PendingTensor | None:
        """Append a layer without accumulators, which keeps its input's type."""
        tensor = self._tensors[read.source]
        if found := list(made.problems([tensor.shape])):
            for problem in found:
                self.refuse(layer, problem)
            return None
        channels, height, width = shape = made.output_shape([tensor.shape])
        seen = self._seen(layer, (channels, height, width), view)
        if seen is None:
            return None
        self.layers.append(made)
        self._tensors[made.name] = Tensor(shape, tensor.type)
        return replace(
            read, source=made.name, view=seen, shape=(channels, height, width), padding=(0, 0, 0, 0)
        )

    def record(self, layer: str, value: PendingTensor) -> None:
        """Remember how a layer's output is to be had."""
        self.recipes[layer] = TraceRecipe(
            source=value.source,
            accumulators=value.make is not None,
            fraction=value.form.fraction,
            steps=tuple(named.step for named in value.steps),
            view=value.view,
            padding=value.padding,
        )

    def tensor(self, layer: str, value: PendingTensor) -> PendingTensor | None:
        """Make the layers that bring a value to a tensor of the network.

        Parameters
        ----------
        layer : str
            Whose output it is, for messages.
        value : PendingTensor

        Returns
        -------
        Value or None
            The same, with nothing left to do; None if that is impossible, which was noted.
        """
        form, source, make = value.form, value.source, value.make
        for named in value.steps:
            step = named.step
            if problem := step.problem(form):
                self.refuse(named.layer, problem)
                # What follows is checked as if the step were a plain one.
                step = choose_substitute(step)
            if (joined := step.joined(form)) is None:
                source, form = self._emit(layer, source, make, form, value.shape)
                make = None
                joined = step.joined(form)
            if joined is None:
                self.refuse(named.layer, f"no requantization does {step}")
                return None
            form, layer = joined, named.layer
        if make is not None or not form.changes_nothing:
            source, form = self._emit(layer, source, make, form, value.shape)
        return replace(value, source=source, make=None, steps=(), form=form)

    def network(self, outputs: Sequence[str], name: str) -> IntegerNetwork:
        """Put the layers together; NetworkError if they do not fit."""
        return IntegerNetwork(
            input=self._tensors[INPUT],
            layers=tuple(self.layers),
            outputs=tuple(outputs),
            name=_identifier(name),
        )

    def _emit(
        self,
        layer: str,
        source: str,
        make: Make | None,
        form: Form,
        shape: tuple[int, int, int],
    ) -> tuple[str, Form]:
        """Append the layer of a form; return its name and what it gives.

        Of what is too wide the problem is noted, and the rest is checked as if it were narrower.
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
        name = source if make is not None else self.name(layer)
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

    def name(self, layer: str) -> str:
        """Find a name that is free."""
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
