"""What the hardware may take, and how fast it must be."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from systolith.config.section import Section
from systolith.devices import DEVICES, Budget, Device, Resources
from systolith.plan import DEFAULT_MULTIPLIERS, ArrayShape

__all__ = ["ArraySection", "HardwareSection", "Interface"]

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ArraySection(Section):
    """Shape of one layer's PE array."""

    rows: Count
    columns: Count
    multipliers: Count = 1
    packed: Count = 1

    @property
    def shape(self) -> ArrayShape:
        """The same for the plan."""
        return ArrayShape(**self.model_dump())


class Interface(StrEnum):
    """What stands between the engines and the world."""

    STREAM = "stream"
    """Nothing: bare streams."""
    AXI = "axi"
    """AXI4-Stream, and registers on AXI4-Lite."""
    WISHBONE = "wishbone"
    """AXI4-Stream, and registers on Wishbone."""


class HardwareSection(Section):
    """Limits on what the engines take, arrays that are fixed, and the way in and out.

    Without any limit or target, all PE arrays have 64 multipliers together.
    """

    multipliers: Count | None = None
    """Of all PE arrays together."""
    device: str | None = None
    dsps: Amount | None = None
    luts: Amount | None = None
    block_rams: Amount | None = None
    """Limits of their own, or instead of the device's."""
    target_fps: Rate | None = None
    """Frames per second: the smallest design that has them, not the fastest within the limits."""
    clock_mhz: Rate | None = None
    arrays: dict[str, ArraySection] = {}
    reloadable: bool = False
    """Whether other weights of the same patterns can be loaded into the design."""
    interface: Annotated[Interface, Field(strict=False)] = Interface.STREAM

    @model_validator(mode="after")
    def _agrees(self) -> "HardwareSection":
        if problems := list(self._contradictions()):
            raise ValueError("; ".join(problems))
        return self

    def _contradictions(self) -> Iterator[str]:
        if self.device is not None and self.device not in DEVICES:
            yield f"no such device {self.device!r}; there are {', '.join(DEVICES)}"
        elif self.device is not None:
            yield from self._more_than(DEVICES[self.device])
        if self.target_fps is None:
            return
        if self.clock_mhz is None:
            yield f"target_fps = {self.target_fps:g} needs clock_mhz"
        elif self.cycles == 0:
            yield (
                f"target_fps = {self.target_fps:g} is more than a frame in each cycle "
                f"at clock_mhz = {self.clock_mhz:g}"
            )

    def _more_than(self, device: Device) -> Iterator[str]:
        for kind in ("dsps", "luts", "block_rams"):
            wanted, most = getattr(self, kind), getattr(device, kind)
            if wanted is not None and wanted > most:
                yield f"{kind} = {wanted} is more than device {device.name} has, {most}"

    @property
    def budget(self) -> Budget:
        """What the engines may take, if there is nothing else on the device."""
        return self.budget_beside(Resources())

    def budget_beside(self, taken: Resources) -> Budget:
        """What the engines may take: limits of their own, or what others leave of the device."""
        device = DEVICES[self.device].budget.left(taken) if self.device else Budget()
        given = {"dsps": self.dsps, "luts": self.luts, "block_rams": self.block_rams}
        limits = device.limits | {kind: most for kind, most in given.items() if most is not None}
        multipliers = self.multipliers
        if multipliers is None and not limits and self.cycles is None:
            multipliers = DEFAULT_MULTIPLIERS
        return Budget(
            multipliers=multipliers, **limits, block=device.block, distributed=device.distributed
        )

    @property
    def cycles(self) -> int | None:
        """Cycles per frame, at most; None if there is no target."""
        if self.target_fps is None or self.clock_mhz is None:
            return None
        return int(self.clock_mhz * 1e6 / self.target_fps)
