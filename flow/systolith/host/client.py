"""Sends images to a board and receives its classifications."""

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import serial
from numpy.typing import NDArray

from systolith.gateware.board import AnswerStatus, RequestKind
from systolith.host.protocol import Answer, BoardError, Identity, decode, encode

__all__ = ["BoardClient", "Classification", "SerialLine", "open_line"]

ATTEMPTS = 4
POLL_SECONDS = 0.05
CYCLES = np.dtype("<u4")


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
    outputs : tuple of array of int64
        Values of each output, flat; of a feature map pixel by pixel, channels innermost.
    classes : tuple of (int or None)
        Index of the greatest value of each vector, the lowest index if several are equal; the class
        itself where the chip finds it. None for a feature map.
    cycles : int
        Cycles from the first transfer into the accelerator to the last transfer out.
    """

    outputs: tuple[NDArray[np.int64], ...]
    classes: tuple[int | None, ...]
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
        self._identity: Identity | None = None

    def identify(self) -> Identity:
        """Ask for the network, image size and outputs of the board.

        Raises
        ------
        BoardError
        """
        try:
            self._identity = Identity.from_bytes(self._ask(RequestKind.IDENTIFY))
        except ValueError as error:
            raise BoardError(str(error)) from error
        return self._identity

    def classify(self, image: bytes) -> Classification:
        """Send an image: its transfers, one byte per value.

        Raises
        ------
        BoardError
        """
        if self._identity is None:
            self._identity = self.identify()
        formats = [output.dtype for output in self._identity.outputs]
        payload = self._ask(RequestKind.CLASSIFY, image)
        size = sum(one.itemsize for one in formats) + CYCLES.itemsize
        if len(payload) != size:
            raise BoardError(f"the board answered {len(payload)} bytes, a result has {size}")
        outputs, classes, offset = [], [], 0
        for one in formats:
            (found,) = np.frombuffer(payload, dtype=one, count=1, offset=offset)
            outputs.append(found["values"].astype(np.int64))
            classes.append(int(found["class"]) if "class" in (one.names or ()) else None)
            offset += one.itemsize
        (cycles,) = np.frombuffer(payload, dtype=CYCLES, offset=offset)
        return Classification(outputs=tuple(outputs), classes=tuple(classes), cycles=int(cycles))

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
