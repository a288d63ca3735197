"""What a bitstream is made for."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from systolith.config.section import Jobs
from systolith.devices import BOARDS, Part, find_board, find_part, variants_of

__all__ = ["BuildSection"]

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class BuildSection(BaseModel):
    """Part or board, and how fast its clock must be."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    device: str | None = None
    speed: int | None = None
    package: str | None = None
    board: str | None = None
    """Instead of device, speed and package; the design answers on the board's serial line."""
    clock_mhz: Rate | None = None
    """What placement must reach; else what is usual for the device."""
    seeds: Count = 1
    """Placements to try; the fastest is kept."""
    jobs: Jobs = 1
    """Placements at once."""
    baud: Annotated[int, Field(ge=1200)] = 1_000_000
    """Of a board's serial line."""
    check_netlist: Annotated[int, Field(ge=0)] = 0
    """Images with which what was synthesized is simulated; 0: it is not."""

    @model_validator(mode="after")
    def _exists(self) -> "BuildSection":
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
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def part(self) -> Part | None:
        """What is built for; None if nothing is."""
        if self.board is not None:
            return find_board(self.board).part
        if self.device is not None:
            return find_part(self.device, speed=self.speed, package=self.package)
        return None

    @property
    def target_mhz(self) -> float:
        """What placement must reach."""
        assert self.part is not None
        return self.clock_mhz or variants_of(self.part.device).clock_mhz
