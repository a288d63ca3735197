"""Sends images to a board and receives its classifications."""

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import serial

from systolith.gateware.board import AnswerStatus, RequestKind
from systolith.host.protocol import Answer, BoardError, Identity, decode, encode

__all__ = ["BoardClient", "Classification", "SerialLine", "open_line"]

ATTEMPTS = 4
POLL_SECONDS = 0.05
TAIL = np.dtype([("class", "<u2"), ("cycles", "<u4")])


class SerialLine(Protocol):
    """The methods of ``serial.Serial`` that :class:`BoardClient` uses."""

    def read(self, size: int = 1) -> bytes:
        """Read up to `size` bytes; fewer after a timeout."""

    def write(self, data: bytes, /) -> int | None:
        """Send bytes."""

    def reset_input_buffer(self) -> None:
        """Discard received bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """Answer of a board for one image.

    Attributes
    ----------
    category : int
        Index of the greatest output; the lowest index if several are equal.
    outputs : tuple of int
    cycles : int
        Cycles from the first transfer into the accelerator to the last transfer out.
    """

    category: int
    outputs: tuple[int, ...]
    cycles: int


def open_line(port: str, baud: int) -> serial.Serial:
    """Open a serial port.

    Raises
    ------
    BoardError
        If the port does not exist or cannot be opened.
    """
    try:
        return serial.Serial(port, baud, timeout=POLL_SECONDS)
    except (OSError, ValueError) as error:
        raise BoardError(f"cannot open {port}: {error}") from error


class BoardClient:
    """Client of a board at the end of a serial line.

    It repeats a request whose answer is damaged, late or missing. It accepts an answer only with a
    valid checksum and the sequence number of the request.

    Parameters
    ----------
    line : SerialLine
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(self, line: SerialLine, timeout: float = 1.0) -> None:
        self.line, self.timeout = line, timeout
        self._sequence = 0

    def identify(self) -> Identity:
        """Ask for the network, image size and outputs of the board.

        Raises
        ------
        BoardError
        """
        try:
            return Identity.from_bytes(self._ask(RequestKind.IDENTIFY))
        except ValueError as error:
            raise BoardError(str(error)) from error

    def classify(self, image: bytes) -> Classification:
        """Send an image: its transfers, one byte per value.

        Raises
        ------
        BoardError
        """
        payload = self._ask(RequestKind.CLASSIFY, image)
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

    def _ask(self, kind: RequestKind, payload: bytes = b"") -> bytes:
        """Repeat a request until an answer arrives. Returns its payload."""
        problem = "no answer"
        for _ in range(ATTEMPTS):
            self._sequence = (self._sequence + 1) % 256
            self.line.reset_input_buffer()
            self.line.write(encode(kind, self._sequence, payload))
            answer = self._answer(self._sequence)
            if answer is None:
                problem = f"no answer within {self.timeout:g} s"
            elif answer.status in (
                AnswerStatus.OK,
                AnswerStatus.LENGTH,
                AnswerStatus.KIND,
                AnswerStatus.VERSION,
            ):
                return _payload_of(answer)
            else:
                problem = f"the board received it {answer.status.name.lower()}"
        raise BoardError(f"gave up after {ATTEMPTS} attempts: {problem}")

    def _answer(self, sequence: int) -> Answer | None:
        """Read until an answer to this request arrives or the time is up; ignore other answers."""
        received, end = b"", time.monotonic() + self.timeout
        while time.monotonic() < end:
            received += self.line.read(4096)
            answer, received = decode(received)
            if answer is not None and self._is_to(answer, sequence):
                return answer
        return None

    def _is_to(self, answer: Answer, sequence: int) -> bool:
        """Whether an answer belongs to a request. A damaged answer may have a damaged number."""
        damaged = answer.status in (AnswerStatus.CHECKSUM, AnswerStatus.TRUNCATED)
        return damaged or answer.sequence == sequence


def _payload_of(answer: Answer) -> bytes:
    """Return the payload; BoardError if the board declined the request."""
    if answer.status is AnswerStatus.OK:
        return answer.payload
    reasons = {
        AnswerStatus.LENGTH: "the payload is not as long as its network's images",
        AnswerStatus.KIND: "it does not know this kind of request",
        AnswerStatus.VERSION: "it speaks another version of the protocol",
    }
    raise BoardError(f"the board declined: {reasons[answer.status]}")
