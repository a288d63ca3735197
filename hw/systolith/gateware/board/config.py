"""Constants of a board's server."""

from dataclasses import dataclass
from math import ceil, prod

from systolith.gateware.activations import act_shape
from systolith.network import IntegerNetwork, Tensor, content_hash, gives_class
from systolith.plan import NetworkPlan, PlanError

__all__ = ["BoardConfig", "OutputConfig", "identity_of"]

LARGEST_PAYLOAD = (1 << 16) - 1
HASH_BYTES, CLASS_BYTES, CYCLES_BYTES = 8, 2, 4
MOST_INPUT_BITS = 8
VALUE_BYTES = (1, 2, 4)
"""A value takes the fewest bytes that hold its type."""
HAS_CLASS, IS_SIGNED = 1 << 6, 1 << 7
"""Bits of an output's format, above its bytes for each value."""


def identity_of(network: IntegerNetwork) -> bytes:
    """Identity of a board's network: the first 8 bytes of its content hash."""
    return bytes.fromhex(content_hash(network))[:HASH_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputConfig:
    """Constants of one output.

    Parameters
    ----------
    channels, pixels : int
        Values of a pixel, and number of pixels: 1 for a vector.
    lanes : int
        Values per transfer. The last transfer of a pixel may have fewer.
    bits : int
        Of a value, 1..32.
    signed : bool
    has_class : bool
        Whether the place of the greatest value follows the values, as for a vector.
    gives_class : bool
        Whether the only value is the class itself, found on the chip.
    """

    channels: int
    pixels: int = 1
    lanes: int
    bits: int
    signed: bool = True
    has_class: bool = True
    gives_class: bool = False

    @classmethod
    def of(cls, tensor: Tensor, lanes: int, *, gives_class: bool) -> "OutputConfig":
        """Make the constants of a network's output, a vector or a feature map."""
        channels, *pixels = tensor.shape
        shape = act_shape(tensor.type)
        return cls(
            channels=channels,
            pixels=prod(pixels),
            lanes=lanes,
            bits=shape.width,
            signed=shape.signed,
            has_class=not pixels,
            gives_class=gives_class and not pixels,
        )

    @property
    def transfers(self) -> int:
        """Transfers per image."""
        return self.pixels * ceil(self.channels / self.lanes)

    @property
    def values(self) -> int:
        """Values of an answer."""
        return self.channels * self.pixels

    @property
    def value_bytes(self) -> int:
        """Bytes of a value in an answer."""
        return next(size for size in VALUE_BYTES if self.bits <= 8 * size)

    @property
    def answer_bytes(self) -> int:
        """Bytes of the values, and of the class if there is one."""
        return self.values * self.value_bytes + CLASS_BYTES * self.has_class

    @property
    def format(self) -> bytes:
        """Number of values (4 bytes), and a byte that describes one."""
        described = self.value_bytes | HAS_CLASS * self.has_class | IS_SIGNED * self.signed
        return self.values.to_bytes(4, "little") + bytes([described])


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardConfig:
    """Constants of a server.

    Parameters
    ----------
    divisor : int
        Cycles per bit of the line.
    idle_bits : int
        Bits of silence after which an incomplete packet is dropped.
    lanes_in : int
        Values per transfer of an image.
    transfers_in : int
        Transfers per image.
    outputs : tuple of OutputConfig
        In the network's order.
    identity : bytes
        Identity of the network, 8 bytes.
    """

    divisor: int
    idle_bits: int = 64
    lanes_in: int
    transfers_in: int
    outputs: tuple[OutputConfig, ...]
    identity: bytes

    @classmethod
    def of(cls, plan: NetworkPlan, *, clock_hz: float, baud: int) -> "BoardConfig":
        """Make the constants for a plan, a clock in Hz and a baud rate.

        Raises
        ------
        PlanError
            Naming every reason why a board cannot serve the network: values that are too wide,
            images or answers that are too large, or a baud rate that is too high.
        """
        network = plan.network
        problems = []
        bits, most = network.input.type.bits, 8 * VALUE_BYTES[-1]
        if bits > MOST_INPUT_BITS:
            problems.append(f"input values must have at most {MOST_INPUT_BITS} bits, got {bits}")
        for name in network.outputs:
            bits = network.tensors[name].type.bits
            if bits > most:
                problems.append(f"values of output '{name}' must have at most {most} bits: {bits}")
        channels, *pixels = network.input.shape
        transfers_in = prod(pixels) * ceil(channels / plan.lanes_in)
        size = transfers_in * plan.lanes_in
        if size > LARGEST_PAYLOAD:
            problems.append(f"an image must have at most {LARGEST_PAYLOAD} bytes, it has {size}")
        divisor = round(clock_hz / baud)
        if divisor < 4:
            problems.append(f"{baud} baud needs a clock of at least {4 * baud / 1e6:g} MHz")
        if problems:
            raise PlanError(problems)
        config = cls(
            divisor=divisor,
            lanes_in=plan.lanes_in,
            transfers_in=transfers_in,
            outputs=tuple(
                OutputConfig.of(
                    network.tensors[name], lanes, gives_class=gives_class(network, name)
                )
                for name, lanes in zip(network.outputs, plan.lanes_out, strict=True)
            ),
            identity=identity_of(network),
        )
        size = config.answer_bytes
        if size > LARGEST_PAYLOAD:
            raise PlanError(
                [f"an answer must have at most {LARGEST_PAYLOAD} bytes, the outputs make {size}"]
            )
        return config

    @property
    def image_bytes(self) -> int:
        """Bytes of the payload of a request to classify."""
        return self.transfers_in * self.lanes_in

    @property
    def answer_bytes(self) -> int:
        """Bytes of the payload of its answer: outputs and cycles."""
        return sum(output.answer_bytes for output in self.outputs) + CYCLES_BYTES

    @property
    def identity_payload(self) -> bytes:
        """Payload of the answer to IDENTIFY."""
        return (
            self.identity
            + self.image_bytes.to_bytes(4, "little")
            + len(self.outputs).to_bytes(2, "little")
            + b"".join(output.format for output in self.outputs)
        )
