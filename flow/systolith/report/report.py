"""What a run found, gathered for people and machines."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from math import prod
from typing import Any

from systolith.network import Conv2d, IntegerNetwork, Linear
from systolith.report.engines import EngineRow

__all__ = ["Report", "SparsityRow", "dense_macs", "sparsity_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsityRow:
    """Weights of one layer: how many are kept of how many.

    Attributes
    ----------
    name : str
    pattern : str
        And what is left of filters and input channels, if some were removed.
    kept, total : int
        `total` counts the layer of the dense network, with filters that were removed since.
    """

    name: str
    pattern: str
    kept: int
    total: int


@dataclass(kw_only=True)
class Report:
    """One experiment's results; what no stage has found yet is None or empty.

    Attributes
    ----------
    accuracy : dict
        ``float``, ``pruned``, ``integer`` and ``rtl``: share of test images classified correctly;
        ``test_images``: how many there are; ``rtl_images``: how many were simulated.
    verification : dict
        ``passed``, ``hardware`` (whether any RTL or netlist ran), ``images``, ``mismatches``,
        ``cycles_predicted``, ``cycles_simulated`` and more.
    performance : dict
        See :func:`systolith.report.performance`.
    sparsity : dict
        ``layers``: a list of ``name``, ``pattern``, ``kept``, ``total``.
    engines : list of EngineRow
        The pipeline, stage by stage.
    stages : list of dict
        ``name``, ``seconds``, ``cached`` of each stage of the run.
    design : dict
        ``network_hash``, of all integers of the network; ``circuit_hash``, of the Verilog without
        what its memories hold: networks of other weights may have the same.
    build : dict
        ``part``, ``estimate``, ``resources``, and of what is placed ``timing_met``, ``fmax_mhz`` by
        seed, ``frames_per_second`` and more.
    files : dict
        What the run wrote, relative to its folder.
    """

    name: str
    seed: int
    accuracy: dict[str, Any] = field(default_factory=dict)
    verification: dict[str, Any] = field(default_factory=dict)
    performance: dict[str, Any] = field(default_factory=dict)
    sparsity: dict[str, list[SparsityRow]] = field(default_factory=dict)
    engines: list[EngineRow] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    design: dict[str, str] = field(default_factory=dict)
    build: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def add_checks(self, checks: Sequence[dict[str, Any]]) -> None:
        """Add checks, and update whether all have passed and whether any has run hardware."""
        if not checks:
            return
        self.verification.setdefault("checks", []).extend(checks)
        every = self.verification["checks"]
        self.verification["passed"] = all(check["passed"] for check in every)
        self.verification["hardware"] = any(check["hardware"] for check in every)

    @property
    def failed(self) -> bool:
        """Whether a check found something: a difference, or a clock that is too slow."""
        return self.verified is False or self.build.get("timing_met") is False

    @property
    def verified(self) -> bool | None:
        """Whether every check passed; None before any has run."""
        return self.verification.get("passed")

    @property
    def simulated(self) -> bool:
        """Whether RTL, or what was synthesized of it, is among what was checked."""
        return bool(self.verification.get("hardware"))

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the versions and the machine that produced them."""
        return {
            **asdict(self),
            "systolith": version("systolith"),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
        }


def sparsity_rows(
    network: IntegerNetwork, dense: Mapping[str, Sequence[int]] | None = None
) -> list[SparsityRow]:
    """Count kept weights, layer by layer.

    Parameters
    ----------
    network : IntegerNetwork
    dense : mapping of str to sequence of int, optional
        Shape of each layer's weights before filters were removed; by default as they are.
    """
    rows = []
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            shape = layer.weight.shape
            before = tuple((dense or {}).get(layer.name, shape))
            kept = layer.weight.size if layer.mask is None else int(layer.mask.sum())
            rows.append(
                SparsityRow(
                    name=layer.name,
                    pattern="; ".join([str(layer.pattern), *_removed(before, shape)]),
                    kept=kept,
                    total=prod(before),
                )
            )
    return rows


def dense_macs(network: IntegerNetwork, dense: Mapping[str, Sequence[int]]) -> int:
    """Multiplications per frame of the network before filters were removed."""
    return sum(
        prod(dense.get(layer.name, layer.weight.shape))
        * prod(network.tensors[layer.name].shape[1:])
        for layer in network.layers
        if isinstance(layer, Conv2d | Linear)
    )


def _removed(before: Sequence[int], after: Sequence[int]) -> Iterator[str]:
    """Say how many filters and inputs of a layer are left, if not all are.

    Where a convolution has several groups, `after` counts the inputs of all.
    """
    for what, of, left in zip(("filters", "inputs"), before, after, strict=False):
        if left < of:
            yield f"{left} of {of} {what}"
