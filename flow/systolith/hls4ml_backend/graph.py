"""A graph of hls4ml that is computed by RTL: its network, its plan and its simulation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hls4ml.model import ModelGraph
from hls4ml.model.types import RoundingMode
from numpy.typing import NDArray

from systolith.bench import NativeModel, compile_native
from systolith.devices import DEVICES
from systolith.emit import Design, Meaning, write_design
from systolith.hls4ml_backend.checks import check_csimulation, check_model
from systolith.hls4ml_backend.configuration import Configuration, read_configuration
from systolith.hls4ml_backend.mapping import MappedModel, map_graph
from systolith.hls4ml_backend.project import CSIMULATION, RTL, SIMULATOR, ConversionError
from systolith.hls4ml_backend.tracing import compute_layer_outputs
from systolith.network import Conv2d, IntArray, IntegerNetwork, trace
from systolith.plan import (
    ArrayShape,
    NetworkPlan,
    PlanError,
    Workload,
    array_shapes,
    plan_network,
    workload_of,
)

__all__ = [
    "SystolithGraph",
    "adopt",
    "meaning_of_graph",
    "plan_mapped",
]

Floats = NDArray[Any]


class SystolithGraph(ModelGraph):
    """A graph of hls4ml with the integer network that it was mapped to.

    Attributes
    ----------
    mapped : MappedModel
        The integer network, and how to compute tensors of hls4ml from it.
    configuration : Configuration
    plan : NetworkPlan
        The engines and their cycles.
    design : Design or None
        The Verilog; None until it is written.
    simulator : NativeModel or None
        None until it is compiled.
    checks : dict of str to str
        Results of the comparisons with the user's model (``"model"``) and, after
        :meth:`compile`, with hls4ml's own C simulation (``"csimulation"``), or why there are none.
    notes : tuple of str
        What the design leaves to the host.
    """

    mapped: MappedModel
    configuration: Configuration
    plan: NetworkPlan
    design: Design | None
    simulator: NativeModel | None
    checks: dict[str, str]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Output folder of the project."""
        return Path(self.config.get_output_dir())

    def compile(self) -> None:
        """Write the project and its Verilog, and compile it with Verilator.

        Unless ``check_csimulation`` is False, the network is first compared with hls4ml's own C
        simulation; see :attr:`checks`.

        Raises
        ------
        ConversionError
            If they differ.
        """
        self.write()
        if self.configuration.check_csimulation and "csimulation" not in self.checks:
            self.checks["csimulation"] = check_csimulation(self, self.folder / CSIMULATION)
        self.config.backend.compile(self)

    def build_simulator(self) -> None:
        """Write and compile the Verilog without the rest of the project."""
        self.design = write_design(
            self.plan, self.folder / RTL, meaning=meaning_of_graph(self.mapped)
        )
        quick = self.configuration.quick
        self.simulator = compile_native(self.design, self.folder / SIMULATOR, quick=quick)

    def run(self, x: Floats | Sequence[Floats]) -> Any:
        """Simulate the Verilog.

        Parameters
        ----------
        x : array of float32 or float64, shape (N, ...) or of one sample; a list of several inputs
            Inputs in hls4ml's order: channels last, unless the graph begins with a transposition.
            They are converted to the input's type with its rounding and overflow.

        Returns
        -------
        array of the dtype of `x`, shape (N, size of the output)
            As with hls4ml's own backends: without the first axis if N is 1; a list of arrays if
            there are several outputs.

        Raises
        ------
        RuntimeError
            If the model is not compiled.
        ValueError
            If `x` has another size or dtype.
        """
        if self.simulator is None:
            raise RuntimeError("the model is not compiled: call compile() first")
        images = self.quantize(x)
        result = self.simulator.run(images)
        assert self.design is not None
        outputs = dict(
            zip((port.layer for port in self.design.outputs), result.outputs, strict=True)
        )
        return self.as_floats(outputs, _dtype_of(x))

    def trace(self, x: Floats | Sequence[Floats]) -> tuple[Any, dict[str, Floats]]:
        """Simulate the Verilog, and compute the output of every layer with ``Trace``.

        Inner layers are computed by golden arithmetic. Its outputs are compared with the
        simulation.

        Returns
        -------
        tuple of output as in :meth:`run`, dict of str to array, shape (N, ...)

        Raises
        ------
        RuntimeError
            If the simulation differs from golden arithmetic; or as in :meth:`run`.
        """
        if self.simulator is None:
            self.compile()
        predicted = self.run(x)
        tensors = trace(self.mapped.network, self.quantize(x))
        golden = self.as_floats(tensors, _dtype_of(x))
        pairs = zip(_as_list(predicted), _as_list(golden), strict=True)
        if not all(np.array_equal(got, wanted) for got, wanted in pairs):
            raise RuntimeError("the simulation of the Verilog differs from golden arithmetic")
        wanted = [node.name for node in self.get_layers() if node.get_attr("trace", False)]
        return predicted, compute_layer_outputs(self.mapped, tensors, wanted, _dtype_of(x))

    def quantize(self, x: Floats | Sequence[Floats]) -> IntArray:
        """Convert inputs of :meth:`run` to images of the network (N, C, H, W)."""
        views = self.mapped.input_views
        arrays = [x] if isinstance(x, np.ndarray) else list(x)
        if len(arrays) != len(views):
            raise ValueError(f"x must hold {len(views)} inputs, got {len(arrays)}")
        parts = []
        for array, view in zip(arrays, views, strict=True):
            if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
                raise ValueError("x must be an array of float32 or float64")
            if array.size == 0 or array.size % view.size:
                raise ValueError(f"x must hold samples of shape {view.shape}, got {array.shape}")
            parts.append(self.mapped.input.quantize(array.reshape(-1, view.size)))
        if len({len(part) for part in parts}) > 1:
            counts = " and ".join(str(len(part)) for part in parts)
            raise ValueError(f"all inputs must hold as many samples, got {counts}")
        images = np.empty((len(parts[0]), sum(view.size for view in views)), dtype=np.int64)
        for part, view in zip(parts, views, strict=True):
            images[:, view.reshape(-1)] = part
        return images.reshape(-1, *self.mapped.network.input.shape)

    def as_floats(self, tensors: dict[str, IntArray], dtype: Any) -> Any:
        """Convert outputs of the network to real values in hls4ml's order and shape."""
        converted = []
        for output in self.mapped.outputs:
            flat = tensors[output.layer].reshape(len(tensors[output.layer]), -1)
            ordered = flat[:, output.view.reshape(-1)]
            floats = np.ldexp(ordered.astype(np.float64), -output.fraction).astype(dtype)
            converted.append(floats[0] if len(floats) == 1 else floats)
        return converted[0] if len(converted) == 1 else converted


def adopt(model: Any) -> None:
    """Map a graph of hls4ml and make it a :class:`SystolithGraph`.

    Parameters
    ----------
    model : hls4ml.model.ModelGraph
        Converted and optimized by hls4ml.

    Raises
    ------
    ConversionError
        If the graph cannot be mapped, or no plan meets the configuration.
    """
    configuration = read_configuration(model)
    mapped = map_graph(model, configuration.patterns)
    plan = plan_mapped(mapped.network, configuration, mapped.origins)
    checked = check_model(model) if configuration.check_model else "not asked for"
    model.__class__ = SystolithGraph
    model.checks = {"model": checked}
    model.mapped, model.configuration, model.plan = mapped, configuration, plan
    model.notes = tuple(
        f"layer '{node.name}': a softmax at the end is left to the host; the outputs are its "
        "inputs, whose greatest is the same class"
        for node in model.get_layers()
        if node.class_name == "Softmax"
    )
    model.design = model.simulator = None


def _dtype_of(x: Floats | Sequence[Floats]) -> Any:
    return x.dtype if isinstance(x, np.ndarray) else x[0].dtype


def _as_list(outputs: Any) -> list[Any]:
    return outputs if isinstance(outputs, list) else [outputs]


ROUNDING_NAMES = {
    RoundingMode.TRN: "floor",
    RoundingMode.RND: "half_up",
    RoundingMode.RND_CONV: "half_even",
}


def meaning_of_graph(mapped: MappedModel) -> Meaning:
    """Give the units of input and outputs, and the rounding and overflow of the input."""
    kind = mapped.input
    return Meaning(
        input_scale=2.0**-kind.fraction,
        output_scales={output.layer: 2.0**-output.fraction for output in mapped.outputs},
        rounding=ROUNDING_NAMES.get(kind.rounding, f"AP_{kind.rounding.name}"),
        wraps=kind.wraps,
        low=kind.low,
        high=kind.high,
    )


def plan_mapped(
    network: IntegerNetwork, configuration: Configuration, origins: dict[str, str]
) -> NetworkPlan:
    """Choose the engines of a network as configured.

    ``Rows`` and ``Columns`` fix a layer's array. A ``ReuseFactor`` of more than 1 is the number of
    cycles for one output position, in which hls4ml uses a multiplier as often: the array is the
    smallest that takes no more cycles. The planner chooses all other arrays, including those with
    a ``ReuseFactor`` of 1, hls4ml's default. The slowest layer is then as fast as ``Multipliers``
    (64 by default) or the ``Device`` allow.

    Parameters
    ----------
    network : IntegerNetwork
    configuration : Configuration
    origins : dict of str to str
        Layer of hls4ml, by layer of the network.

    Raises
    ------
    ConversionError
        If arrays do not fit their layers, or the budget is too small.
    """
    arrays = {}
    for layer in network.layers:
        if not isinstance(layer, Conv2d):
            continue
        origin = origins[layer.name]
        work = workload_of(network, layer)
        if origin in configuration.arrays:
            rows, columns = configuration.arrays[origin]
            arrays[layer.name] = ArrayShape(rows=rows, columns=columns)
        elif origin in configuration.reuse:
            arrays[layer.name] = _smallest(work, configuration.reuse[origin])
    budget = None
    if configuration.device is not None and configuration.multipliers is None:
        budget = DEVICES[configuration.device].budget
    try:
        return plan_network(
            network, arrays=arrays, multipliers=configuration.multipliers, budget=budget
        )
    except PlanError as error:
        raise ConversionError(error.problems) from error


def _smallest(work: Workload, reuse: int) -> ArrayShape:
    """Find the smallest array that computes an output position in `reuse` cycles."""
    shapes = array_shapes(work)
    fitting = [shape for shape in shapes if count_folds(work, shape) <= reuse]
    return min(fitting or shapes, key=lambda shape: (shape.total, count_folds(work, shape)))


def count_folds(work: Workload, shape: ArrayShape) -> int:
    """Count the cycles of an array for one output position."""
    work = work.on(shape)
    slots = -(-work.slots // shape.multipliers)
    return work.reads.folds(shape.rows) * slots * -(-work.filters // shape.width)
