"""Images to a board, and what it says of them, against the reference."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from systolith.emit import input_stream
from systolith.gateware.board import identity_of
from systolith.host import BoardClient, BoardError
from systolith.network import IntArray
from systolith.plan import NetworkPlan
from systolith.stages.sources import Source

__all__ = ["Verdict", "classify_on_board"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One image.

    Attributes
    ----------
    category, cycles : int
        As the board answered.
    outputs : tuple of int
    expected : tuple of int
        Of the reference.
    """

    category: int
    cycles: int
    outputs: tuple[int, ...]
    expected: tuple[int, ...]

    @property
    def equal(self) -> bool:
        """Whether every output is the reference's, and the class the greatest of them."""
        right = self.expected.index(max(self.expected))
        return self.outputs == self.expected and self.category == right


def classify_on_board(
    board: BoardClient, plan: NetworkPlan, source: Source, images: IntArray
) -> Iterator[Verdict]:
    """Send images one after the other.

    Raises
    ------
    BoardError
        If the board computes another network, or does not answer.
    """
    network = plan.network
    identity = board.identify()
    wanted = identity_of(network)
    port = input_stream(plan)
    size = port.transfers_per_frame * port.lanes
    if identity.network != wanted:
        raise BoardError(
            f"the board computes network {identity.network.hex()}, not {wanted.hex()}: "
            "build and flash this one"
        )
    if identity.image_bytes != size:
        raise BoardError(
            f"the board takes images of {identity.image_bytes} bytes, this plan makes {size}: "
            "give the budget that the bitstream was built with"
        )
    reference = source.reference(images)[network.outputs[0]]
    for image, expected in zip(images, reference, strict=True):
        values = port.to_transfers(image[None])
        found = board.classify((values & 0xFF).astype(np.uint8).tobytes())
        yield Verdict(
            category=found.category,
            cycles=found.cycles,
            outputs=found.outputs,
            expected=tuple(expected.tolist()),
        )
