"""Designs that the models of area and clock are fitted to, and those that are held back."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine.networks import NETWORKS, kept
from systolith.devices import Part, find_part
from systolith.network import IntegerNetwork, load
from systolith.plan import NetworkPlan, plan_network

__all__ = ["DESIGNS", "PLACEABLE", "PhysicalDesign", "find_network"]

DIGITS = Path(__file__).parent / "networks" / "digits.json"
"""What ``systolith run examples/digits.toml`` makes, kept."""
PLACEABLE = ("digits", *NETWORKS)
"""Names of the networks that :func:`find_network` knows."""


def find_network(name: str) -> IntegerNetwork:
    """Load a network that was kept."""
    return load(DIGITS) if name == "digits" else kept(name)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalDesign:
    """A network, planned for a device.

    Parameters
    ----------
    network : str
    device : str
    cycles : int, optional
        Per frame; as few as possible by default.
    reloadable : bool
    placed : bool
        Whether its clock counts, too.
    held_back : bool
        Whether the models are not fitted to it.
    """

    network: str
    device: str
    cycles: int | None = None
    reloadable: bool = False
    placed: bool = False
    held_back: bool = False

    @property
    def name(self) -> str:
        """For files."""
        pace = f"-{self.cycles}" if self.cycles else ""
        return f"{self.network}-{self.device}{pace}{'-reloadable' if self.reloadable else ''}"

    @property
    def part(self) -> Part:
        """At the slowest speed."""
        return find_part(self.device, speed=6)

    def plan(self) -> NetworkPlan:
        """Plan it within the device."""
        return plan_network(
            find_network(self.network),
            budget=self.part.device.budget,
            cycles=self.cycles,
            reloadable=self.reloadable,
        )


PACKED = "resnet8-1of4-4bit-shared2"

DESIGNS = (
    PhysicalDesign(network="digits", device="ecp5-12f", placed=True),
    PhysicalDesign(network="digits", device="ecp5-45f", cycles=1024, placed=True),
    PhysicalDesign(network="digits", device="ecp5-45f", cycles=4096, reloadable=True),
    PhysicalDesign(network="ds-cnn", device="ecp5-25f", placed=True),
    PhysicalDesign(network="lenet5-neuron", device="ecp5-25f"),
    PhysicalDesign(network="resnet8-1of4", device="ecp5-25f", placed=True),
    PhysicalDesign(network=PACKED, device="ecp5-25f", placed=True),
    PhysicalDesign(network="digits", device="ecp5-25f", placed=True, held_back=True),
    PhysicalDesign(network="digits", device="ecp5-45f", cycles=1536, placed=True, held_back=True),
    PhysicalDesign(network="ds-cnn", device="ecp5-45f", placed=True, held_back=True),
    PhysicalDesign(
        network="resnet8-1of4", device="ecp5-85f", cycles=32768, placed=True, held_back=True
    ),
    PhysicalDesign(network=PACKED, device="ecp5-85f", cycles=16384, placed=True, held_back=True),
)
"""No design that is held back has the plan of one that is not."""
