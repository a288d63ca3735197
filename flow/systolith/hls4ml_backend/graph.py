"""A model of hls4ml that is computed by RTL."""

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
    """A graph of hls4ml with the integer network that it was mapped onto.

    Attributes
    ----------
    mapped : MappedModel
        The integer network, and how tensors of hls4ml are to be had from it.
    configuration : Configuration
    plan : NetworkPlan
        The engines; cycles are known before anything is built.
    design : Design or None
        The Verilog, once it is written.
    simulator : NativeModel or None
        Once it is compiled.
    checks : dict of str to str
        What was compared with the user's model (``"model"``) and, once it is compiled, with
        hls4ml's own C simulation (``"csimulation"``), or why nothing was.
    """

    mapped: MappedModel
    configuration: Configuration
    plan: NetworkPlan
    design: Design | None
    simulator: NativeModel | None
    checks: dict[str, str]

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return Path(self.config.get_output_dir())

    def compile(self) -> None:
        """Write the project and its Verilog, and compile it with Verilator.

        Unless ``check_csimulation`` is False, the network is compared with hls4ml's own C
        simulation first; see :attr:`checks`.

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
        """Do what :meth:`compile` does, without writing the project."""
        self.design = write_design(
            self.plan, self.folder / RTL, meaning=meaning_of_graph(self.mapped)
        )
        quick = self.configuration.quick
        self.simulator = compile_native(self.design, self.folder / SIMULATOR, quick=quick)

    def run(self, x: Floats) -> Any:
        """Simulate the Verilog.

        Parameters
        ----------
        x : array of float32 or float64, shape (N, ...) or of one sample
            In the order of hls4ml: channels last unless the graph begins with a transposition.
            Converted to the type of the input, with its rounding and overflow.

        Returns
        -------
        array of the dtype of `x`, shape (N, size of the output)
            As from hls4ml's own backends: without the first axis if N is 1; a list of arrays if
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
        return self.as_floats(outputs, x.dtype)

    def trace(self, x: Floats) -> tuple[Any, dict[str, Floats]]:
        """Simulate, and compute what every layer with ``Trace`` gives.

        Layers inside the network are computed by golden arithmetic, whose outputs are compared with
        the simulation.

        Returns
        -------
        tuple of output as of :meth:`run`, dict of str to array, shape (N, ...)

        Raises
        ------
        RuntimeError
            If the simulation differs; or as :meth:`run`.
        """
        if self.simulator is None:
            self.compile()
        predicted = self.run(x)
        tensors = trace(self.mapped.network, self.quantize(x))
        golden = self.as_floats(tensors, x.dtype)
        pairs = zip(_listed(predicted), _listed(golden), strict=True)
        if not all(np.array_equal(got, wanted) for got, wanted in pairs):
            raise RuntimeError("the simulation of the Verilog differs from golden arithmetic")
        wanted = [node.name for node in self.get_layers() if node.get_attr("trace", False)]
        return predicted, compute_layer_outputs(self.mapped, tensors, wanted, x.dtype)

    def quantize(self, x: Floats) -> IntArray:
        """Convert floats, as given to :meth:`run`, to images of the network (N, C, H, W)."""
        if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64):
            raise ValueError("x must be an array of float32 or float64")
        size = self.mapped.input_view.size
        if x.size == 0 or x.size % size:
            shape = self.mapped.input_view.shape
            raise ValueError(f"x must hold samples of shape {shape}, got {x.shape}")
        integers = self.mapped.input.quantize(x.reshape(-1, size))
        images = np.empty_like(integers)
        images[:, self.mapped.input_view.reshape(-1)] = integers
        return images.reshape(-1, *self.mapped.network.input.shape)

    def as_floats(self, tensors: dict[str, IntArray], dtype: Any) -> Any:
        """Bring outputs of the network to hls4ml's order, units and ranks, as :meth:`run` does."""
        found = []
        for output in self.mapped.outputs:
            flat = tensors[output.layer].reshape(len(tensors[output.layer]), -1)
            ordered = flat[:, output.view.reshape(-1)]
            floats = np.ldexp(ordered.astype(np.float64), -output.fraction).astype(dtype)
            found.append(floats[0] if len(floats) == 1 else floats)
        return found[0] if len(found) == 1 else found


def adopt(model: Any) -> None:
    """Map a graph, which hls4ml has made, and make it one of these.

    Parameters
    ----------
    model : hls4ml.model.ModelGraph
        Converted and optimized by hls4ml.

    Raises
    ------
    ConversionError
        If it cannot be mapped, or there is no plan as configured.
    """
    configuration = read_configuration(model)
    mapped = map_graph(model, configuration.patterns)
    plan = plan_mapped(mapped.network, configuration, mapped.origins)
    checked = check_model(model) if configuration.check_model else "not asked for"
    model.__class__ = SystolithGraph
    model.checks = {"model": checked}
    model.mapped, model.configuration, model.plan = mapped, configuration, plan
    model.design = model.simulator = None


def _listed(outputs: Any) -> list[Any]:
    return outputs if isinstance(outputs, list) else [outputs]


ROUNDINGS = {
    RoundingMode.TRN: "floor",
    RoundingMode.RND: "half_up",
    RoundingMode.RND_CONV: "half_even",
}


def meaning_of_graph(mapped: MappedModel) -> Meaning:
    """Give the units of input and outputs: powers of two; the input's type rounds and overflows."""
    kind = mapped.input
    return Meaning(
        input_scale=2.0**-kind.fraction,
        output_scales={output.layer: 2.0**-output.fraction for output in mapped.outputs},
        rounding=ROUNDINGS.get(kind.rounding, f"AP_{kind.rounding.name}"),
        wraps=kind.wraps,
        low=kind.low,
        high=kind.high,
    )


def plan_mapped(
    network: IntegerNetwork, configuration: Configuration, origins: dict[str, str]
) -> NetworkPlan:
    """Lay the network out as its configuration says.

    ``Rows`` and ``Columns`` fix a layer's array. ``ReuseFactor``, if more than 1, is the number of
    cycles in which an output position is computed: the array is the smallest that takes no more,
    which is as many as hls4ml uses each multiplier for. 1, which hls4ml sets where nothing is
    said, leaves the array to the planner, as does a layer without either: the slowest layer is then
    as fast as ``Multipliers`` (64 if nothing is said) or the ``Device`` allow.

    Parameters
    ----------
    network : IntegerNetwork
    configuration : Configuration
    origins : dict of str to str
        Layer of hls4ml by layer of the network.

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
    """Find the array of fewest multipliers that computes an output position in `reuse` cycles."""
    shapes = array_shapes(work)
    fitting = [shape for shape in shapes if count_folds(work, shape) <= reuse]
    return min(fitting or shapes, key=lambda shape: (shape.total, count_folds(work, shape)))


def count_folds(work: Workload, shape: ArrayShape) -> int:
    """Cycles that an array takes for one output position."""
    slots = -(-work.slots // shape.multipliers)
    return work.reads.folds(shape.rows) * slots * -(-work.filters // shape.width)
