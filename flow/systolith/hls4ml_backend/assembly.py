"""From values of hls4ml to layers of an integer network, while a graph is mapped."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.hls4ml_backend.fixed_type import FixedType
from systolith.hls4ml_backend.form import Cast, Form, act_type, choose_substitute, refine
from systolith.hls4ml_backend.layers.functions import Lookup
from systolith.hls4ml_backend.made_layers import MadeLayers
from systolith.hls4ml_backend.tabulation import tabulate
from systolith.hls4ml_backend.tensors import Make, PendingTensor, TraceRecipe, image_view
from systolith.network import (
    MAX_ACT_BITS,
    MAX_TABLE_BITS,
    ActType,
    AvgPool2d,
    Concat,
    Conv2d,
    IntArray,
    Layer,
    NetworkError,
    Pad2d,
    Requantize,
    SelectChannels,
    Table,
    Tensor,
)

__all__ = ["Assembly"]

PLAIN = Requantize(multiplier=[1], shift=[0])  # type: ignore[arg-type]
NARROW = ActType(bits=2, signed=True)


class Assembly(MadeLayers):
    """Turns values of hls4ml into layers and tensors of the network.

    Attributes
    ----------
    recipes : dict of str to TraceRecipe
        How to compute the output of each layer of hls4ml.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recipes: dict[str, TraceRecipe] = {}

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
        tensors = [self.tensors[value.source] for value in inputs]
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
        tensor = self.tensors[read.source]
        if problems := list(made.problems([tensor.shape])):
            for problem in problems:
                self.refuse(layer, problem)
            return None
        channels, height, width = shape = made.output_shape([tensor.shape])
        output_view = self._find_view(layer, (channels, height, width), view)
        if output_view is None:
            return None
        self.keep(made, shape, tensor.type)
        return replace(
            read,
            source=made.name,
            view=output_view,
            shape=(channels, height, width),
            padding=(0, 0, 0, 0),
        )

    def select(self, made: SelectChannels, read: PendingTensor) -> PendingTensor:
        """Append a selection of the input's channels; `read` describes them as a tensor."""
        self.keep(made, read.shape, self.tensors[made.input].type)
        return replace(read, source=made.name)

    def join(
        self, made: Concat, read: PendingTensor, view: IntArray, channels: int
    ) -> PendingTensor:
        """Append a concatenation; `read` is a value of its first input with the joined form."""
        shape = (channels, *read.shape[1:])
        self.keep(made, shape, self.type_of(read))
        return replace(read, source=made.name, view=view, shape=shape)

    def negate(self, layer: str, read: PendingTensor) -> PendingTensor | None:
        """Append a change of sign: a table, or for wide tensors a depthwise convolution."""
        tensor, form = self.tensors[read.source], read.form
        output = act_type(-form.high, -form.low)
        if output is None:
            self.refuse(
                layer,
                f"subtracts the values {form.low}..{form.high}, which need more than "
                f"{MAX_ACT_BITS} bits with the other sign; set their Precision.result to fewer",
            )
            return None
        name = self.claim_name(layer)
        made: Layer
        if tensor.type.bits <= MAX_TABLE_BITS:
            integers = np.arange(tensor.type.low, tensor.type.high + 1)
            values = -np.clip(integers, form.low, form.high)
            made = Table(name=name, input=read.source, values=values, output=output)
        else:
            channels = read.shape[0]
            made = Conv2d(
                name=name,
                input=read.source,
                weight=np.full((channels, 1, 1, 1), -1),
                bias=np.zeros(channels, dtype=np.int64),
                requantize=PLAIN,
                output=output,
                weight_bits=2,
                groups=channels,
            )
        self.keep(made, tensor.shape, output)
        negated = Form(fraction=form.fraction, low=-form.high, high=-form.low)
        return replace(read, source=name, form=negated)

    def substitute(self, layer: str, shape: Sequence[int], kind: FixedType | None) -> PendingTensor:
        """Give a tensor in place of a layer that was refused, to check the layers after it.

        Parameters
        ----------
        layer : str
        shape : sequence of int
            In hls4ml, with 1 to 3 dimensions, channels last.
        kind : FixedType or None
            Its type; None if it is not supported.
        """
        height, width, channels = (1, 1, *shape)[-3:]
        widest = ActType(bits=MAX_ACT_BITS, signed=True)
        low, high = (0, 1) if kind is None else (kind.low, kind.high)
        form = Form(
            fraction=0 if kind is None else kind.fraction,
            low=max(low, widest.low),
            high=min(high, widest.high),
        )
        image = (channels, height, width)
        name = self.claim_name(layer)
        assert form.type is not None
        self.tensors[name] = Tensor(image, form.type)
        view = image_view(image, len(shape))
        assert view is not None
        return PendingTensor(source=name, form=form, view=view, shape=image)

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

    def make_tensor(
        self, layer: str, value: PendingTensor, wanted: FixedType | None = None
    ) -> PendingTensor | None:
        """Make the layers that turn a value into a tensor of the network.

        Parameters
        ----------
        layer : str
            Layer of the output, for messages.
        value : PendingTensor
        wanted : FixedType, optional
            Type that the tensor has exactly. Default: the narrowest one that holds its values.

        Returns
        -------
        Value or None
            The tensor, without `steps`; None if it is impossible, which was reported.
        """
        form, source, make = value.form, value.source, value.make
        if wanted is not None:
            value = value.then(layer, Cast(wanted))
        for named in value.steps:
            step = named.step
            if isinstance(step, Lookup):
                if make is not None or not form.changes_nothing:
                    source, form = self._append(layer, source, make, form, value.shape)
                    make = None
                source, form = self._append_lookup(named.layer, source, step, form)
                layer = named.layer
                continue
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
        if wanted is not None:
            source, form = self._widen(layer, source, make, form, value.shape, wanted)
        elif make is not None or not form.changes_nothing:
            source, form = self._append(layer, source, make, form, value.shape)
        return replace(value, source=source, make=None, steps=(), form=form)

    def pad(self, layer: str, value: PendingTensor) -> PendingTensor | None:
        """Make the zeros around an image a layer of their own; negative padding cuts off."""
        if not any(value.padding):
            return value
        read = self.make_tensor(layer, replace(value, padding=(0, 0, 0, 0)))
        if read is None:
            return None
        name = self.claim_name(layer)
        made = Pad2d(name=name, input=read.source, padding=value.padding)
        low, high = min(read.form.low, 0), max(read.form.high, 0)
        padded = replace(read, form=replace(read.form, low=low, high=high))
        return self.add_layer(layer, made, padded, read.view.ndim)

    def _append_lookup(self, layer: str, source: str, step: Lookup, form: Form) -> tuple[str, Form]:
        """Append the table of a function, or its thresholds; report a problem."""
        tensor = self.tensors[source]
        tabulated = tabulate(step, form, tensor.type)
        if isinstance(tabulated, str):
            self.refuse(layer, tabulated)
            # The layers after it are checked with a narrower result.
            low, high = max(step.result.low, -128), min(step.result.high, 127)
            return source, Form(fraction=step.result.fraction, low=low, high=high)
        name = self.claim_name(layer)
        made: Layer
        if tabulated.values is not None:
            made = Table(name=name, input=source, values=tabulated.values, output=tabulated.output)
        else:
            assert tabulated.requantize is not None
            made = _rescale(name, source, tabulated.requantize, tabulated.output)
        self.keep(made, tensor.shape, tabulated.output)
        return name, tabulated.form

    def _widen(
        self,
        layer: str,
        source: str,
        make: Make | None,
        form: Form,
        shape: tuple[int, int, int],
        wanted: FixedType,
    ) -> tuple[str, Form]:
        """Append a layer unless the tensor has exactly the wanted type and fraction."""
        output = ActType(bits=max(wanted.width, 1 + int(wanted.signed)), signed=wanted.signed)
        exact = form.fraction == wanted.fraction and make is None and form.changes_nothing
        if exact and self.tensors[source].type == output:
            return source, form
        finer = wanted.fraction - form.fraction
        refined = refine(form, finer) if finer else form
        wrap = form.wrap
        if refined is None or (wrap and (wrap.width, wrap.signed) != (output.bits, output.signed)):
            source, form = self._append(layer, source, make, form, shape)
            make, refined = None, refine(form, finer)
        assert refined is not None
        whole = replace(refined, low=output.low, high=output.high)
        if refined.clipped or (refined.low, refined.high) == (output.low, output.high):
            whole = refined
        name, _ = self._append(layer, source, make, whole, shape, output)
        return name, Form(fraction=wanted.fraction, low=refined.low, high=refined.high)

    def _append(
        self,
        layer: str,
        source: str,
        make: Make | None,
        form: Form,
        shape: tuple[int, int, int],
        output: ActType | None = None,
    ) -> tuple[str, Form]:
        """Append the layer of a form; return its name and the form of its output.

        A result that is too wide is reported, and the layers after it are checked with a narrower
        one.
        """
        if form.type is None and output is None:
            self.refuse(
                layer,
                f"its result has the values {form.low}..{form.high} with {form.fraction} "
                f"fractional bits, more than {MAX_ACT_BITS} bits; set Precision.result to at most "
                f"{MAX_ACT_BITS} bits, and Precision.accum to 'auto' or to a type that no sum "
                "overflows",
            )
            widest = ActType(bits=MAX_ACT_BITS, signed=form.low < 0)
            form = replace(form, wrap=None).clip(widest.low, widest.high)
        output = form.type if output is None else output
        assert output is not None
        name = source if make is not None else self.claim_name(layer)
        made: Layer
        if make is not None:
            made = make(name, form.requantize(output), output)
        else:
            made = _rescale(name, source, form.requantize(output), output)
        self.keep(made, shape, output)
        return name, Form(fraction=form.fraction, low=form.low, high=form.high)


def _rescale(name: str, source: str, requantize: Requantize, output: ActType) -> AvgPool2d:
    """Make a layer that only requantizes: an average of one pixel."""
    return AvgPool2d(
        name=name, input=source, kernel_size=(1, 1), requantize=requantize, output=output
    )
