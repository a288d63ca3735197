"""A case of fuzzing the RTL: network, array shapes, images and stalls."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from systolith.bench import PATTERNS, Stalls
from systolith.fuzz.choices import Choices
from systolith.fuzz.networks import draw_network
from systolith.fuzz.target import explain_damage
from systolith.network import (
    FITTED_MULTIPLIER_BITS,
    Add,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    Dense,
    DepthToSpace,
    Granularity,
    IntArray,
    IntegerNetwork,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    Pattern,
    PerNeuron,
    Requantized,
    Rounding,
    SelectChannels,
    SpaceToDepth,
    Strided,
    Table,
    Upsample,
    content_hash,
    load,
    save,
)
from systolith.plan import (
    ArrayShape,
    ConvPlan,
    MemoryKind,
    MultiplierKind,
    NetworkPlan,
    WeightMemory,
    Workload,
    plan_network,
    scale_bits,
    workload_of,
)

__all__ = ["CONTENTS", "Case", "draw_case"]

STALLS = {stalls.name: stalls for stalls in PATTERNS}
LAYER_SETS = ("lookup", "distributed_weights", "distributed_windows", "shared_weights")
"""Attributes of a case that name layers."""
MOST_ROWS, MOST_COLUMNS, MOST_MULTIPLIERS = 12, 8, 8
MOST_FRAMES = 3
SHARED_TILE = (2, 3)
"""Rows and columns of PEs that share a memory of weights."""
MAX_SEED = 9999
CONTENTS = (
    *("convolution", "depthwise", "linear", "max pool", "average pool", "global pool"),
    *("concatenation", "selection", "blocks", "class"),
    *("addition", "table", "dilated", "areas", "padding", "cropping", "upsampling"),
    "repeated borders",
    *("dense", "k-of-n weights", "k-of-n kernels", "per neuron", "strided", "shared"),
    *(
        "1-bit weights",
        "counted bits, 0 or 1",
        "counted bits, -1 or +1",
        "packed",
        "look-up multipliers",
        "distributed memories",
        "shared memories",
        "power-of-two scale",
    ),
    *(
        "offsets",
        "power-of-two scale with offsets",
        "thresholds",
        "one threshold",
        "slopes",
        "product",
    ),
    *("ties up", "ties to even", "no rounding", "rounded twice"),
    *("wide multipliers", "rounded inputs"),
    *("several outputs", "reloadable"),
)
"""All features that :meth:`Case.contents` lists."""

_ROUNDINGS = {
    Rounding.HALF_UP: "ties up",
    Rounding.HALF_EVEN: "ties to even",
    Rounding.FLOOR: "no rounding",
    Rounding.TFLITE: "rounded twice",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A network with its hardware and its stimuli.

    Attributes
    ----------
    network : IntegerNetwork
    images : array of int, shape (N, ...)
        Values of the input's type.
    arrays : mapping of str to ArrayShape
        Array shapes by layer. The planner chooses those of other layers.
    lookup, distributed_weights, distributed_windows, shared_weights : tuple of str
        Layers with multipliers made of adders, with distributed weight memories, with distributed
        window buffers, and with weight memories that neighbouring PEs share.
    reloadable : bool
        Whether the design is reloadable; nothing is loaded.
    stalls : str
        Name of a pattern.
    seed : int
        Seed of the stalls.
    """

    network: IntegerNetwork
    images: IntArray
    arrays: Mapping[str, ArrayShape] = field(default_factory=dict)
    lookup: tuple[str, ...] = ()
    distributed_weights: tuple[str, ...] = ()
    distributed_windows: tuple[str, ...] = ()
    shared_weights: tuple[str, ...] = ()
    reloadable: bool = False
    stalls: str = "random"
    seed: int = 0

    @property
    def pattern(self) -> Stalls:
        """Gaps and stalls."""
        return STALLS[self.stalls]

    @cached_property
    def key(self) -> str:
        """Hash of the whole content of the case."""
        settings = json.dumps(self._settings(), sort_keys=True)
        content = content_hash(self.network) + settings
        return sha256(content.encode() + self.images.astype("<i8").tobytes()).hexdigest()

    def plan(self) -> NetworkPlan:
        """Plan the network with the engines of this case."""
        plan = plan_network(self.network, arrays=self.arrays, reloadable=self.reloadable)
        stages = [
            self._fitted(stage) if isinstance(stage, ConvPlan) else stage for stage in plan.stages
        ]
        return replace(plan, graph=plan.graph.with_stages(stages))

    def _fitted(self, plan: ConvPlan) -> ConvPlan:
        """Return an engine with the multipliers and memories of this case."""
        memory = {True: MemoryKind.DISTRIBUTED, False: MemoryKind.BLOCK}
        multiplier = MultiplierKind.LUT if plan.name in self.lookup else plan.multiplier_kind
        tile = SHARED_TILE if plan.name in self.shared_weights else ()
        return replace(
            plan,
            multiplier_kind=multiplier,
            weight_memory=WeightMemory(memory[plan.name in self.distributed_weights], *tile),
            window_memory=memory[plan.name in self.distributed_windows],
        )

    def save(self, folder: Path) -> None:
        """Write ``network.json`` with its arrays, ``images.npy`` and ``case.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        save(self.network, folder / "network.json")
        np.save(folder / "images.npy", self.images)
        (folder / "case.json").write_text(json.dumps(self._settings(), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Case":
        """Read a case that :meth:`save` wrote.

        Raises
        ------
        NetworkError
            If the network is missing or invalid.
        ValueError
            If another file is missing or damaged.
        """
        network = load(folder / "network.json")
        with explain_damage(folder, "a case"):
            settings = json.loads((folder / "case.json").read_text())
            arrays = {name: ArrayShape(**array) for name, array in settings.pop("arrays").items()}
            images = np.load(folder / "images.npy")
            layers: dict[str, Any] = {name: tuple(settings.pop(name, ())) for name in LAYER_SETS}
            return cls(network=network, images=images, arrays=arrays, **layers, **settings)

    def contents(self) -> Iterator[str]:
        """List the features of the case, once for each layer with the feature."""
        for layer in self.network.layers:
            yield from _layer_features(layer)
            if isinstance(layer, Requantized):
                levels = layer.requantize.levels
                yield "thresholds" if levels else _ROUNDINGS[layer.requantize.rounding]
                if levels == 1:
                    yield "one threshold"
                if scale_bits(layer.requantize) > FITTED_MULTIPLIER_BITS:
                    yield "wide multipliers"
                if isinstance(layer, Add) and layer.shifts is not None:
                    yield "rounded inputs"
                if layer.requantize.negative is not None:
                    yield "slopes"
                if layer.requantize.offset is not None:
                    yield "offsets"
                    if not scale_bits(layer.requantize):
                        yield "power-of-two scale with offsets"
            if isinstance(layer, Conv2d | Linear):
                yield from _pattern_features(layer.pattern)
                if layer.weight_bits == 1:
                    yield "1-bit weights"
                work = workload_of(self.network, layer, reloadable=self.reloadable)
                if work.single_bits is not None:
                    yield f"counted bits, {work.single_bits.value}"
                if layer.requantize.power_of_two and not layer.requantize.levels:
                    yield "power-of-two scale"
        yield from ("packed" for array in self.arrays.values() if array.packed > 1)
        yield from ("look-up multipliers" for _ in self.lookup)
        yield from (
            "distributed memories" for _ in {*self.distributed_weights, *self.distributed_windows}
        )
        yield from ("shared memories" for _ in self.shared_weights)
        if len(self.network.outputs) > 1:
            yield "several outputs"
        if self.reloadable:
            yield "reloadable"

    def _settings(self) -> dict[str, Any]:
        return {
            "arrays": {name: asdict(array) for name, array in self.arrays.items()},
            **{name: list(getattr(self, name)) for name in LAYER_SETS},
            "reloadable": self.reloadable,
            "stalls": self.stalls,
            "seed": self.seed,
        }


def draw_case(choices: Choices, most_layers: int) -> Case:
    """Draw a network with at most `most_layers` layers, array shapes, images and stalls."""
    network = draw_network(choices, most_layers=most_layers)
    reloadable = choices.chance(15)
    works = [
        workload_of(network, layer, reloadable=reloadable)
        for layer in network.layers
        if isinstance(layer, Conv2d | Linear)
    ]
    names = [work.name for work in works]
    act, frames = network.input.type, choices.integer(1, MOST_FRAMES)
    shape = (frames, *network.input.shape)
    return Case(
        network=network,
        images=choices.generator().integers(act.low, act.high + 1, shape),
        arrays={work.name: _draw_array(choices, work) for work in works},
        **{name: tuple(choices.subset(names, 20)) for name in LAYER_SETS},
        reloadable=reloadable,
        stalls=choices.one_of([name for name in STALLS if name != "none"]),
        seed=choices.integer(0, MAX_SEED),
    )


def _draw_array(choices: Choices, work: Workload) -> ArrayShape:
    """Draw any array shape that is small enough for a short simulation."""
    packed = choices.integer(1, work.packed)
    multipliers = choices.one_of([size for size in work.multipliers if size <= MOST_MULTIPLIERS])
    work = work.on(ArrayShape(rows=1, columns=1, multipliers=multipliers))
    if work.multiplicity:
        most = min(work.channels, max(MOST_COLUMNS // work.multiplicity, 1))
        columns = work.multiplicity * choices.integer(1, most)
    else:
        columns = choices.integer(1, min(-(-work.filters // packed), MOST_COLUMNS))
    return ArrayShape(
        rows=choices.integer(1, min(work.reduction, MOST_ROWS)),
        columns=columns,
        multipliers=multipliers,
        packed=packed,
    )


def _layer_features(layer: Layer) -> Iterator[str]:
    match layer:
        case Conv2d():
            yield "convolution" if layer.groups == 1 else "depthwise"
            if layer.dilation != (1, 1):
                yield "dilated"
        case Linear():
            yield "linear"
        case MaxPool2d():
            yield "max pool"
            if layer.dilation != (1, 1):
                yield "dilated"
        case Pad2d():
            yield "cropping" if min(layer.padding) < 0 else "padding"
            if layer.edge:
                yield "repeated borders"
        case Upsample():
            yield "upsampling"
        case AvgPool2d():
            yield "global pool" if layer.kernel_size is None else "average pool"
            if layer.counted is not None:
                yield "areas"
        case Add():
            yield "addition"
        case Multiply():
            yield "product"
        case Table():
            yield "table"
        case ArgMax():
            yield "class"
        case Concat():
            yield "concatenation"
        case SelectChannels():
            yield "selection"
        case DepthToSpace() | SpaceToDepth():
            yield "blocks"


def _pattern_features(pattern: Pattern) -> Iterator[str]:
    match pattern.select:
        case Dense():
            yield "dense"
        case KOutOfN(granularity=granularity, shared_by=shared):
            yield "k-of-n kernels" if granularity is Granularity.KERNEL else "k-of-n weights"
            if shared > 1:
                yield "shared"
        case PerNeuron(shared_by=shared):
            yield "per neuron"
            if shared > 1:
                yield "shared"
    if isinstance(pattern.taps, Strided):
        yield "strided"
