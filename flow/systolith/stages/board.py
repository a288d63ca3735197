"""Classification of images by a board, compared with the reference."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from systolith.emit import Meaning, StreamPort, input_stream
from systolith.gateware.board import identity_of
from systolith.host import BoardClient, BoardError, Guess, compute_probabilities, rank_classes
from systolith.network import IntArray, Shape, gives_class
from systolith.plan import NetworkPlan

__all__ = [
    "BoardResult",
    "Reference",
    "arrange_output",
    "check_board",
    "classify_on_board",
    "encode_image",
    "guess_classes",
]

Reference = Callable[[IntArray], Mapping[str, IntArray]]
"""Computes the outputs of every layer for images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoardResult:
    """A board's answer for one image.

    Attributes
    ----------
    cycles : int
        Cycles that the image took.
    outputs, expected : dict of str to array of int64
        Values of the board and of the reference, by output.
    classes : dict of str to int
        Class of each output that is a vector.
    given : frozenset of str
        Outputs whose only value is the class, found on the chip.
    """

    cycles: int
    outputs: Mapping[str, IntArray]
    expected: Mapping[str, IntArray]
    classes: Mapping[str, int]
    given: frozenset[str] = frozenset()

    @property
    def differing(self) -> tuple[str, ...]:
        """Outputs that differ from the reference, or whose class is not their greatest value."""
        return tuple(name for name in self.outputs if not self._is_equal(name))

    @property
    def equal(self) -> bool:
        """Whether no output differs."""
        return not self.differing

    def _is_equal(self, name: str) -> bool:
        expected = self.expected[name]
        right = int(expected[0]) if name in self.given else int(expected.argmax())
        classes_agree = name not in self.classes or self.classes[name] == right
        return classes_agree and np.array_equal(self.outputs[name], expected)


def classify_on_board(
    board: BoardClient, plan: NetworkPlan, reference: Reference, images: IntArray
) -> Iterator[BoardResult]:
    """Classify images one by one.

    Raises
    ------
    BoardError
        If the board computes another network or does not answer.
    """
    network = plan.network
    port, computed = check_board(board, plan), reference(images)
    given = frozenset(name for name in network.outputs if gives_class(network, name))
    for number, image in enumerate(images):
        answer = board.classify(encode_image(port, image))
        outputs = dict(zip(network.outputs, answer.outputs, strict=True))
        classes = zip(network.outputs, answer.classes, strict=True)
        yield BoardResult(
            cycles=answer.cycles,
            outputs={
                name: arrange_output(values, network.tensors[name].shape)
                for name, values in outputs.items()
            },
            expected={name: computed[name][number] for name in network.outputs},
            classes={name: category for name, category in classes if category is not None},
            given=given,
        )


def guess_classes(
    result: BoardResult, plan: NetworkPlan, meaning: Meaning | None, count: int
) -> dict[str, list[Guess]]:
    """List the greatest classes of each vector of an answer, with probabilities if they are known.

    Parameters
    ----------
    result : BoardResult
    plan : NetworkPlan
    meaning : Meaning or None
        Scale of the logits, and what turns them into probabilities.
    count : int
        Classes; a class that the chip found is the only one.
    """
    guesses = {}
    for output, category in result.classes.items():
        if output in result.given:
            guesses[output] = [Guess(category=category, probability=None)]
            continue
        values, probabilities = result.outputs[output].tolist(), None
        if meaning is not None and output in meaning.ends:
            probabilities = compute_probabilities(
                values,
                scale=meaning.output_scales[output],
                zero_point=plan.network.tensors[output].type.zero_point,
                end=meaning.ends[output],
            ).tolist()
        guesses[output] = rank_classes(values, probabilities, count)
    return guesses


def arrange_output(values: IntArray, shape: Shape) -> IntArray:
    """Bring an answer's values, pixel by pixel, into the network's order (C, H, W)."""
    channels, *pixels = shape
    return np.asarray(values.reshape(*pixels, channels).transpose(-1, *range(len(pixels))))


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
