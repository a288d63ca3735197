"""Asks a board to classify images."""

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import serial

from systolith.gateware.board import Kind, Status
from systolith.host.errors import BoardError
from systolith.host.protocol import Answer, Identity, decode, encode

__all__ = ["Board", "Classification", "Line", "open_line"]

ATTEMPTS = 4
POLL_SECONDS = 0.05
TAIL = np.dtype([("class", "<u2"), ("cycles", "<u4")])


class Line(Protocol):
    """A serial line: what is used of ``serial.Serial``."""

    def read(self, size: int = 1) -> bytes:
        """Take up to `size` bytes; fewer after a while."""

    def write(self, data: bytes, /) -> int | None:
        """Send."""

    def reset_input_buffer(self) -> None:
        """Forget what has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """What a board found in an image.

    Attributes
    ----------
    category : int
        Index of the greatest output; of the first, if several are equal.
    outputs : tuple of int
    cycles : int
        From the first transfer into the accelerator to the last out of it.
    """

    category: int
    outputs: tuple[int, ...]
    cycles: int


def open_line(port: str, baud: int) -> serial.Serial:
    """Open a serial port.

    Raises
    ------
    BoardError
        If there is none, or it cannot be opened.
    """
    try:
        return serial.Serial(port, baud, timeout=POLL_SECONDS)
    except (OSError, ValueError) as error:
        raise BoardError(f"cannot open {port}: {error}") from error


class Board:
    """A board at the end of a line.

    A request that is answered damaged, late or not at all is sent again; an answer counts only if
    its checksum is right and it carries the request's sequence number.

    Parameters
    ----------
    line : Line
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(self, line: Line, timeout: float = 1.0) -> None:
        self.line, self.timeout = line, timeout
        self._sequence = 0

    def identify(self) -> Identity:
        """Ask what the board computes.

        Raises
        ------
        BoardError
        """
        try:
            return Identity.from_bytes(self._ask(Kind.IDENTIFY))
        except ValueError as error:
            raise BoardError(str(error)) from error

    def classify(self, image: bytes) -> Classification:
        """Send an image, as its transfers, a byte for each value.

        Raises
        ------
        BoardError
        """
        payload = self._ask(Kind.CLASSIFY, image)
        count, rest = divmod(len(payload) - TAIL.itemsize, 4)
        if rest or count < 1:
            raise BoardError(f"the board answered {len(payload)} bytes, which are no result")
        outputs = np.frombuffer(payload, dtype="<i4", count=count)
        (tail,) = np.frombuffer(payload, dtype=TAIL, offset=4 * count)
        return Classification(
            category=int(tail["class"]),
            outputs=tuple(outputs.tolist()),
            cycles=int(tail["cycles"]),
        )

    def _ask(self, kind: Kind, payload: bytes = b"") -> bytes:
        """Send until an answer comes. Returns its payload."""
        problem = "no answer"
        for _ in range(ATTEMPTS):
            self._sequence = (self._sequence + 1) % 256
            self.line.reset_input_buffer()
            self.line.write(encode(kind, self._sequence, payload))
            answer = self._answer(self._sequence)
            if answer is None:
                problem = f"no answer within {self.timeout:g} s"
            elif answer.status in (Status.OK, Status.LENGTH, Status.KIND, Status.VERSION):
                return _accepted(answer)
            else:
                problem = f"the board received it {answer.status.name.lower()}"
        raise BoardError(f"gave up after {ATTEMPTS} attempts: {problem}")

    def _answer(self, sequence: int) -> Answer | None:
        """Read until an answer has come, or time is up; one that is not to this is passed over."""
        received, end = b"", time.monotonic() + self.timeout
        while time.monotonic() < end:
            received += self.line.read(4096)
            answer, received = decode(received)
            if answer is not None and self._is_to(answer, sequence):
                return answer
        return None

    def _is_to(self, answer: Answer, sequence: int) -> bool:
        """Whether an answer is to the last request; of a damaged one the number may be, too."""
        damaged = answer.status in (Status.CHECKSUM, Status.TRUNCATED)
        return damaged or answer.sequence == sequence


def _accepted(answer: Answer) -> bytes:
    """Take the payload; BoardError if the board understood the request and declined it."""
    if answer.status is Status.OK:
        return answer.payload
    reasons = {
        Status.LENGTH: "the payload is not as long as its network's images",
        Status.KIND: "it does not know this kind of request",
        Status.VERSION: "it speaks another version of the protocol",
    }
    raise BoardError(f"the board declined: {reasons[answer.status]}")
