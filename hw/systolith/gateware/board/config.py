"""Constants of a board's server."""

from dataclasses import dataclass
from math import ceil, prod

from systolith.network import IntegerNetwork, content_hash, gives_class
from systolith.plan import NetworkPlan, PlanError

__all__ = ["BoardConfig", "identity_of"]

LARGEST_PAYLOAD = (1 << 16) - 1
HASH_BYTES = 8
MOST_BITS = {"input": 8, "output": 32}


def identity_of(network: IntegerNetwork) -> bytes:
    """Identity of a board's network: the first 8 bytes of its content hash."""
    return bytes.fromhex(content_hash(network))[:HASH_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardConfig:
    """Constants of a server.

    Parameters
    ----------
    divisor : int
        Cycles per bit of the line.
    idle_bits : int
        Bits of silence after which an incomplete packet is dropped.
    lanes_in, lanes_out : int
        Values per transfer.
    transfers_in, transfers_out : int
        Transfers per image.
    outputs : int
        Values of an answer.
    identity : bytes
        Identity of the network, 8 bytes.
    gives_class : bool
        Whether the output is the class. Otherwise the server finds it.
    """

    divisor: int
    idle_bits: int = 64
    lanes_in: int
    lanes_out: int
    transfers_in: int
    transfers_out: int
    outputs: int
    identity: bytes
    gives_class: bool = False

    @classmethod
    def of(cls, plan: NetworkPlan, *, clock_hz: float, baud: int) -> "BoardConfig":
        """Make the constants for a plan, a clock in Hz and a baud rate.

        Raises
        ------
        PlanError
            Naming every reason why a board cannot serve the network: several outputs, an output
            that is no vector, values that are too wide, images that are too large, or a baud rate
            that is too high.
        """
        network = plan.network
        problems = []
        if len(network.outputs) != 1:
            problems.append(f"a board answers with one output, the network has {network.outputs}")
        output = network.tensors[network.outputs[0]]
        if len(output.shape) != 1:
            problems.append(f"a board answers with a vector, the output has shape {output.shape}")
        bits = {"input": network.input.type.bits, "output": output.type.bits}
        for name, most in MOST_BITS.items():
            if bits[name] > most:
                problems.append(f"{name} values must have at most {most} bits, got {bits[name]}")
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
        (lanes_out,) = plan.lanes_out
        return cls(
            divisor=divisor,
            lanes_in=plan.lanes_in,
            lanes_out=lanes_out,
            transfers_in=transfers_in,
            transfers_out=ceil(output.shape[0] / lanes_out),
            outputs=output.shape[0],
            identity=identity_of(network),
            gives_class=gives_class(network, network.outputs[0]),
        )

    @property
    def image_bytes(self) -> int:
        """Bytes of the payload of a request to classify."""
        return self.transfers_in * self.lanes_in

    @property
    def answer_bytes(self) -> int:
        """Bytes of the payload of its answer: outputs, class, cycles."""
        return 4 * self.outputs + 6

    @property
    def identity_payload(self) -> bytes:
        """Payload of the answer to IDENTIFY."""
        return (
            self.identity
            + self.image_bytes.to_bytes(4, "little")
            + self.outputs.to_bytes(2, "little")
        )
