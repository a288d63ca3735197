"""Cards of the zoo's networks: what a network is, the device it fits, and how fast it is there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from systolith.devices import DEVICES, Device, Family
from systolith.plan import NetworkPlan, PlanError, estimate_fmax_mhz, plan_network

if TYPE_CHECKING:  # needs PyTorch, which listing cards does not
    from systolith.zoo.making import ZooNetwork

__all__ = ["CARDS", "ZooCard", "make_card", "read_cards", "smallest_fit"]

CARDS = "cards.json"
"""The cards, beside this module; ``python -m benchmarks.zoo`` writes them."""

CANDIDATES = ("ecp5-12f", "ecp5-25f", "ecp5-45f", "ecp5-85f", "xc7a100t")
"""Devices that a card tries, in this order. There is no clock model of the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooCard:
    """What a user wants to know before taking a network.

    Parameters
    ----------
    name, task, source, input, door : str
        See :class:`~systolith.zoo.ZooEntry`.
    weights : str
        What the weights are, and the accuracy of the integer network if they are trained.
    weight_bits, act_bits : int
        Widths.
    layers, parameters, macs : int
        Layers of the integer network, trained parameters, multiplications per frame.
    device : str
        Smallest device of those tried that the network fits.
    multipliers, dsps, luts, block_rams : int
        What the plan takes there; LUTs are estimated.
    cycles : int
        Cycles per frame.
    clock_mhz, frames_per_second : float, optional
        Estimates of the planner for the slowest speed grade; None without a clock model.
    reproduce : str
        The command that makes the network.
    """

    name: str
    task: str
    source: str
    input: str
    door: str
    weights: str
    weight_bits: int
    act_bits: int
    layers: int
    parameters: int
    macs: int
    device: str
    multipliers: int
    dsps: int
    luts: int
    block_rams: int
    cycles: int
    clock_mhz: float | None
    frames_per_second: float | None
    reproduce: str

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``card.json``."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Yield the card in Markdown."""
        yield f"# {self.name}: {self.task}"
        yield ""
        yield "| | |"
        yield "|---|---|"
        for name, value in self._rows().items():
            yield f"| {name} | {value} |"

    def _rows(self) -> Mapping[str, str]:
        if self.clock_mhz is None or self.frames_per_second is None:
            speed = "unknown: there is no clock model of this device"
        else:
            speed = f"{self.frames_per_second:,.0f} at an estimated {self.clock_mhz:.0f} MHz"
        return {
            "structure": self.source,
            "weights": self.weights,
            "bits": f"{self.weight_bits} weights, {self.act_bits} activations",
            "input": self.input,
            "door": self.door,
            "layers": f"{self.layers}",
            "parameters": f"{self.parameters:,}",
            "MACs per frame": f"{self.macs:,}",
            "smallest device that fits": self.device,
            "there": f"{self.multipliers} multipliers in arrays, {self.dsps} DSPs, about "
            f"{self.luts:,} LUTs, {self.block_rams} block RAMs",
            "cycles per frame": f"{self.cycles:,}",
            "frames/s": speed,
            "reproduce": f"`{self.reproduce}`",
        }


def read_cards() -> dict[str, ZooCard]:
    """Read the cards that were measured, by name."""
    content = json.loads((files("systolith.zoo") / CARDS).read_text())
    return {name: ZooCard(**card) for name, card in content.items()}


def smallest_fit(network: "ZooNetwork") -> tuple[Device, NetworkPlan]:
    """Plan a network for the first of the tried devices that it fits.

    Raises
    ------
    PlanError
        With the problems of the largest device if it fits none.
    """
    for name in CANDIDATES:
        try:
            return DEVICES[name], plan_network(network.network, budget=DEVICES[name].budget)
        except PlanError:
            if name == CANDIDATES[-1]:
                raise
    raise AssertionError("there are devices to try")


def make_card(made: "ZooNetwork", device: Device, plan: NetworkPlan) -> ZooCard:
    """Make the card of a network that is planned for a device."""
    entry, network, used = made.entry, made.network, plan.resources
    clock_mhz = None
    if device.family is Family.ECP5:
        clock_mhz = estimate_fmax_mhz(used, device)
    weights = "random weights"
    if made.accuracy is not None:
        weights = f"trained on the bundled digits: {made.accuracy:.1%} of the test images"
    return ZooCard(
        name=entry.name,
        task=entry.task,
        source=entry.source,
        input=entry.size,
        door=entry.door.value,
        weights=weights,
        weight_bits=entry.weight_bits,
        act_bits=network.input.type.bits,
        layers=len(network.layers),
        parameters=made.parameters,
        macs=plan.macs_kept,
        device=device.name,
        multipliers=used.multipliers,
        dsps=used.dsps,
        luts=used.luts,
        block_rams=used.block_rams,
        cycles=plan.cycles_per_frame,
        clock_mhz=clock_mhz,
        frames_per_second=None if clock_mhz is None else clock_mhz * 1e6 / plan.cycles_per_frame,
        reproduce=f"systolith zoo get {entry.name}",
    )
