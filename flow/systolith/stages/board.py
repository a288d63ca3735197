"""Classification of images by a board, compared with the reference."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from systolith.emit import Meaning, StreamPort, input_stream
from systolith.gateware.board import identity_of
from systolith.host import BoardClient, BoardError, Guess, compute_probabilities, rank_classes
from systolith.network import IntArray, gives_class
from systolith.plan import NetworkPlan

__all__ = [
    "BoardResult",
    "Reference",
    "check_board",
    "classify_on_board",
    "encode_image",
    "guess_classes",
]

Reference = Callable[[IntArray], Mapping[str, IntArray]]
"""Computes the outputs of every layer for images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardResult:
    """A board's answer for one image.

    Attributes
    ----------
    category, cycles : int
        Class of the image, and cycles that it took.
    outputs : tuple of int
    expected : tuple of int
        Outputs of the reference.
    gives_class : bool
        Whether the only output is the class, found on the chip.
    """

    category: int
    cycles: int
    outputs: tuple[int, ...]
    expected: tuple[int, ...]
    gives_class: bool = False

    @property
    def equal(self) -> bool:
        """Whether all outputs are equal to the reference, and the class is the greatest of them."""
        first = self.expected.index(max(self.expected))
        right = self.expected[0] if self.gives_class else first
        return self.outputs == self.expected and self.category == right


def classify_on_board(
    board: BoardClient, plan: NetworkPlan, reference: Reference, images: IntArray
) -> Iterator[BoardResult]:
    """Classify images one by one.

    Raises
    ------
    BoardError
        If the board computes another network or does not answer.
    """
    port = check_board(board, plan)
    outputs = reference(images)[plan.network.outputs[0]]
    for image, expected in zip(images, outputs, strict=True):
        answer = board.classify(encode_image(port, image))
        yield BoardResult(
            category=answer.category,
            cycles=answer.cycles,
            outputs=answer.outputs,
            expected=tuple(expected.tolist()),
            gives_class=gives_class(plan.network, plan.network.outputs[0]),
        )


def guess_classes(
    result: BoardResult, plan: NetworkPlan, meaning: Meaning | None, count: int
) -> list[Guess]:
    """List the greatest classes of a board's answer, with probabilities if they are known.

    Parameters
    ----------
    result : BoardResult
    plan : NetworkPlan
    meaning : Meaning or None
        Scale of the logits, and what turns them into probabilities.
    count : int
        Classes; a class that the chip found is the only one.
    """
    if result.gives_class:
        return [Guess(category=result.category, probability=None)]
    (output,) = plan.network.outputs
    values, probabilities = list(result.outputs), None
    if meaning is not None and output in meaning.ends:
        probabilities = compute_probabilities(
            values,
            scale=meaning.output_scales[output],
            zero_point=plan.network.tensors[output].type.zero_point,
            end=meaning.ends[output],
        ).tolist()
    return rank_classes(values, probabilities, count)


def encode_image(port: StreamPort, image: IntArray) -> bytes:
    """Give the transfers of an image (C, H, W), one byte for each lane."""
    values = port.to_transfers(image[None])
    return (values & 0xFF).astype(np.uint8).tobytes()


def check_board(board: BoardClient, plan: NetworkPlan) -> StreamPort:
    """Check that a board computes this plan. Returns the layout of its images.

    Raises
    ------
    BoardError
        If it computes another network or does not answer.
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
    return port
