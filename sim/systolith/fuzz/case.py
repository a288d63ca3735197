"""One case of fuzzing: a network, how it is laid out, and what it is simulated with."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from systolith.bench import PATTERNS, Stalls
from systolith.fuzz.choices import Choices
from systolith.fuzz.networks import draw_network
from systolith.network import Conv2d, IntArray, IntegerNetwork, Linear, content_hash, load, save
from systolith.plan import (
    ArrayShape,
    ConvPlan,
    MemoryKind,
    MultiplierKind,
    NetworkPlan,
    Work,
    plan_network,
    work_of,
)

__all__ = ["Case", "draw_case", "load_case"]

STALLS = {stalls.name: stalls for stalls in PATTERNS}
KINDS_OF_PARTS = ("lookup", "distributed_weights", "distributed_windows")
"""For each, a case names the layers that have it."""
MOST_ROWS, MOST_COLUMNS = 12, 8
MOST_FRAMES = 3
MAX_SEED = 9999


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """What is built and simulated.

    Attributes
    ----------
    network : IntegerNetwork
    images : array of int, shape (N, ...)
        Values of the input's type.
    arrays : mapping of str to ArrayShape
        Of layers with weights; the planner chooses the others within its usual budget.
    lookup, distributed_weights, distributed_windows : tuple of str
        Layers whose multipliers are trees of adders, and whose memories of weights or of
        activations are distributed.
    reloadable : bool
        Whether parameters can be loaded; none are.
    stalls : str
        Name of a pattern.
    seed : int
        Of the stalls.
    """

    network: IntegerNetwork
    images: IntArray
    arrays: Mapping[str, ArrayShape] = field(default_factory=dict)
    lookup: tuple[str, ...] = ()
    distributed_weights: tuple[str, ...] = ()
    distributed_windows: tuple[str, ...] = ()
    reloadable: bool = False
    stalls: str = "random"
    seed: int = 0

    @property
    def pattern(self) -> Stalls:
        """Gaps and stalls."""
        return STALLS[self.stalls]

    @cached_property
    def key(self) -> str:
        """Hash of all that the case is."""
        settings = json.dumps(self._settings(), sort_keys=True)
        content = content_hash(self.network) + settings
        return sha256(content.encode() + self.images.astype("<i8").tobytes()).hexdigest()

    def plan(self) -> NetworkPlan:
        """Lay the network out."""
        plan = plan_network(self.network, arrays=self.arrays, reloadable=self.reloadable)
        stages = [
            self._fitted(stage) if isinstance(stage, ConvPlan) else stage for stage in plan.stages
        ]
        return replace(plan, graph=plan.graph.replaced(stages))

    def _fitted(self, plan: ConvPlan) -> ConvPlan:
        """Give an engine the kinds of multipliers and memories that were drawn for it."""
        memory = {True: MemoryKind.DISTRIBUTED, False: MemoryKind.BLOCK}
        multiplier = MultiplierKind.LUT if plan.name in self.lookup else plan.multiplier_kind
        return replace(
            plan,
            multiplier_kind=multiplier,
            weight_memory=memory[plan.name in self.distributed_weights],
            window_memory=memory[plan.name in self.distributed_windows],
        )

    def save(self, folder: Path) -> None:
        """Write ``network.json`` with its arrays, ``images.npy`` and ``case.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        save(self.network, folder / "network.json")
        np.save(folder / "images.npy", self.images)
        (folder / "case.json").write_text(json.dumps(self._settings(), indent=1) + "\n")

    def _settings(self) -> dict[str, Any]:
        return {
            "arrays": {name: asdict(array) for name, array in self.arrays.items()},
            **{kind: list(getattr(self, kind)) for kind in KINDS_OF_PARTS},
            "reloadable": self.reloadable,
            "stalls": self.stalls,
            "seed": self.seed,
        }


def load_case(folder: Path) -> Case:
    """Read what :meth:`Case.save` wrote.

    Raises
    ------
    NetworkError
        If the network is missing or wrong.
    ValueError
        If anything else is.
    """
    network = load(folder / "network.json")
    try:
        settings = json.loads((folder / "case.json").read_text())
        arrays = {name: ArrayShape(**array) for name, array in settings.pop("arrays").items()}
        images = np.load(folder / "images.npy")
        parts: dict[str, Any] = {kind: tuple(settings.pop(kind)) for kind in KINDS_OF_PARTS}
        return Case(network=network, images=images, arrays=arrays, **parts, **settings)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} does not hold a case: {error}") from error


def draw_case(choices: Choices, most_layers: int) -> Case:
    """Choose a network with at most so many layers, array shapes, images and stalls."""
    network = draw_network(choices, most_layers=most_layers)
    reloadable = choices.chance(15)
    works = [
        work_of(network, layer, reloadable=reloadable)
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
        **{kind: tuple(choices.subset(names, 20)) for kind in KINDS_OF_PARTS},
        reloadable=reloadable,
        stalls=choices.one_of([name for name in STALLS if name != "none"]),
        seed=choices.integer(0, MAX_SEED),
    )


def _draw_array(choices: Choices, work: Work) -> ArrayShape:
    """Choose any shape, but none too large to be simulated in a moment."""
    packed = choices.integer(1, work.packed)
    if work.multiplicity:
        most = min(work.channels, max(MOST_COLUMNS // work.multiplicity, 1))
        columns = work.multiplicity * choices.integer(1, most)
    else:
        columns = choices.integer(1, min(-(-work.filters // packed), MOST_COLUMNS))
    return ArrayShape(
        rows=choices.integer(1, min(work.reduction, MOST_ROWS)),
        columns=columns,
        multipliers=choices.integer(1, min(work.slots, 4)),
        packed=packed,
    )
