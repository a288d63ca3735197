"""What one run does after lowering."""

from dataclasses import dataclass
from pathlib import Path

from systolith.config import BuildSection, HardwareSection

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the stages after lowering do.

    Attributes
    ----------
    name : str
        Of the experiment or network.
    seed : int
        Of stalls and random images.
    hardware : HardwareSection
        Budget and fixed arrays.
    verify_images : int
        Images for cocotb.
    per_layer : bool
        Whether each layer is also verified alone.
    simulate_images : int or None
        Images for bulk simulation; None is all.
    jobs : int
        Processes for bulk simulation.
    waveform : bool
        Whether one image's signals are written as FST.
    build : BuildSection
        Part or board to build for; nothing is built if there is none.
    rtl : Path or None
        A folder with a design to verify in place of the generated one.
    """

    name: str
    seed: int
    hardware: HardwareSection
    verify_images: int
    per_layer: bool
    simulate_images: int | None
    jobs: int
    waveform: bool
    build: BuildSection
    rtl: Path | None = None
