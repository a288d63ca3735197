"""Sections of the hardware: limits and targets of the engines, and what is built."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from systolith.build import Placer, Router, find_tools, placer_problem, router_problem
from systolith.config.section import Count, Jobs, Positive, Section
from systolith.devices import (
    BOARDS,
    DEVICES,
    Budget,
    Device,
    Family,
    Part,
    Resources,
    ToolSource,
    find_board,
    find_part,
    variants_of,
)
from systolith.plan import DEFAULT_MULTIPLIERS, ArrayShape

__all__ = ["ArraySection", "BuildSection", "HardwareSection", "Interface"]

Amount = Annotated[int, Field(ge=0)]


class ArraySection(Section):
    """Shape of one layer's PE array."""

    rows: Count
    columns: Count
    multipliers: Count = 1
    packed: Count = 1

    @property
    def shape(self) -> ArrayShape:
        """The shape as the planner takes it."""
        return ArrayShape(**self.model_dump())


class Interface(StrEnum):
    """Interface of the generated Verilog."""

    STREAM = "stream"
    """Bare streams."""
    AXI = "axi"
    """AXI4-Stream, and registers on AXI4-Lite."""
    WISHBONE = "wishbone"
    """AXI4-Stream, and registers on Wishbone."""


class HardwareSection(Section):
    """Limits and target of the engines, fixed PE arrays, and the interface.

    Without limits and target, all PE arrays have 64 multipliers together.
    """

    multipliers: Count | None = None
    """Most multipliers of all PE arrays together."""
    device: str | None = None
    dsps: Amount | None = None
    luts: Amount | None = None
    block_rams: Amount | None = None
    """Limits, which replace those of the device."""
    target_fps: Positive | None = None
    """Frames per second that the smallest design must reach; None: the fastest in the limits."""
    clock_mhz: Positive | None = None
    """Clock for frames per second; None: estimated where there is a model of the device."""
    arrays: dict[str, ArraySection] = {}
    reloadable: bool = False
    """Whether the design can load other weights of the same patterns."""
    class_on_chip: bool = False
    """Whether the outputs are classes, which the chip finds, instead of logits."""
    interface: Annotated[Interface, Field(strict=False)] = Interface.STREAM

    @model_validator(mode="after")
    def _check_contradictions(self) -> "HardwareSection":
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
            if not self.estimates_clock:
                yield f"target_fps = {self.target_fps:g} needs clock_mhz, or an ECP5 as device"
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
        """Budget of the engines if they are alone on the device."""
        return self.budget_beside(Resources())

    def budget_beside(self, taken: Resources) -> Budget:
        """Return the budget of the engines: explicit limits, or the device without `taken`."""
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
    def estimates_clock(self) -> bool:
        """Whether the clock of designs on the device can be estimated."""
        return self.device in DEVICES and DEVICES[self.device].family is Family.ECP5

    @property
    def cycles(self) -> int | None:
        """Most cycles per frame; None if there is no target, or no given clock."""
        if self.target_fps is None or self.clock_mhz is None:
            return None
        return int(self.clock_mhz * 1e6 / self.target_fps)


class BuildSection(Section):
    """The part or board of a bitstream, and its clock."""

    device: str | None = None
    speed: int | None = None
    package: str | None = None
    board: str | None = None
    """Replaces device, speed and package; the design answers on the board's serial line."""
    clock_mhz: Positive | None = None
    """Clock that placement must reach; None: a usual clock of the device."""
    seeds: Count = 1
    """Placements to try; the fastest is kept."""
    jobs: Jobs = 1
    """Placements at once."""
    placer: Annotated[Placer, Field(strict=False)] = Placer.AUTO
    router: Annotated[Router, Field(strict=False)] = Router.AUTO
    """Routers to try with each seed."""
    time_limit_minutes: Positive | None = None
    """Time of the whole build; the best of the seeds that are finished by then counts."""
    tools: Annotated[ToolSource, Field(strict=False)] = ToolSource.AUTO
    """Where Yosys, nextpnr and packers come from."""
    baud: Annotated[int, Field(ge=1200)] = 1_000_000
    """Bits per second on the board's serial line."""
    check_netlist: Annotated[int, Field(ge=0)] = 0
    """Images for the simulation of the netlist; 0: no simulation."""

    @model_validator(mode="after")
    def _check_target(self) -> "BuildSection":
        problems = []
        if self.board is not None and self.board not in BOARDS:
            problems.append(f"there is no board {self.board!r}; there are {', '.join(BOARDS)}")
        given = [name for name in ("device", "speed", "package") if getattr(self, name) is not None]
        if self.board is not None and given:
            problems.append(f"board = {self.board!r} says already what {' and '.join(given)} are")
        if self.board is None and self.device is None and given:
            problems.append(f"{' and '.join(given)} need a device")
        if self.device is not None:
            try:
                find_part(self.device, speed=self.speed, package=self.package)
            except ValueError as error:
                problems.append(str(error))
        problems += self._tool_problems()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _tool_problems(self) -> Iterator[str]:
        device = DEVICES.get(self.device or "")
        if self.board in BOARDS:
            device = find_board(self.board).part.device
        nextpnr = None if device is None else find_tools(device).nextpnr
        if nextpnr is not None:
            problems = placer_problem(self.placer, nextpnr), router_problem(self.router, nextpnr)
            yield from (f"{self.board or self.device}: {each}" for each in problems if each)

    @property
    def limit_s(self) -> float | None:
        """Time limit in seconds; None if there is none."""
        return None if self.time_limit_minutes is None else 60 * self.time_limit_minutes

    @property
    def part(self) -> Part | None:
        """The part to build for; None if nothing is built."""
        if self.board is not None:
            return find_board(self.board).part
        if self.device is not None:
            return find_part(self.device, speed=self.speed, package=self.package)
        return None

    @property
    def target_mhz(self) -> float:
        """Clock that placement must reach."""
        assert self.part is not None
        return self.clock_mhz or variants_of(self.part.device).clock_mhz
