"""Constants of a shell: the streams and the identity of the design inside it."""

from collections.abc import Iterator
from dataclasses import dataclass

from systolith.network import ActType

__all__ = ["ShellConfig", "StreamFormat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFormat:
    """Format of the frames of one stream.

    Parameters
    ----------
    act : ActType
        Type of the activations.
    lanes : int
        Activations per transfer.
    transfers : int
        Transfers per frame.
    """

    act: ActType
    lanes: int
    transfers: int

    @property
    def width(self) -> int:
        """Bits of a transfer that carry activations."""
        return self.lanes * self.act.bits

    @property
    def tdata_width(self) -> int:
        """Bits of TDATA: whole bytes."""
        return -(-self.width // 8) * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellConfig:
    """Constants of a shell.

    Parameters
    ----------
    version : tuple of 3 int
        Major, minor, patch; each 0..255.
    network_hash : int
        First 64 bits of the network's content hash.
    input : StreamFormat
        Format of the images.
    outputs : tuple of StreamFormat
        Formats of the results, in the order of the network's outputs.
    most_frames : int
        Most frames whose input is complete while their result is not.
    load_bytes : int
        Bytes of all parameters; 0 if they cannot be loaded.

    Raises
    ------
    ValueError
        Naming every constant that is out of range.
    """

    version: tuple[int, int, int]
    network_hash: int
    input: StreamFormat
    outputs: tuple[StreamFormat, ...]
    most_frames: int
    load_bytes: int = 0

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))

    @property
    def reloadable(self) -> bool:
        """Whether parameters can be loaded."""
        return self.load_bytes > 0

    def _problems(self) -> Iterator[str]:
        if len(self.version) != 3 or not all(0 <= part < 256 for part in self.version):
            yield f"version must be three numbers 0..255, got {self.version}"
        if not 0 <= self.network_hash < 1 << 64:
            yield f"network_hash must have 64 bits, got {self.network_hash:#x}"
        if not self.outputs:
            yield "a shell needs at least one output"
        if self.most_frames < 1:
            yield f"most_frames must be at least 1, got {self.most_frames}"
        if self.load_bytes < 0:
            yield f"load_bytes must be at least 0, got {self.load_bytes}"
        for name, stream in (
            ("input", self.input),
            *((f"output {n}", o) for n, o in enumerate(self.outputs)),
        ):
            if stream.transfers < 1:
                yield f"{name} must have at least one transfer per frame, got {stream.transfers}"
