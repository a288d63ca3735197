"""A pseudo-terminal at which another program finds a device."""

import os
import select
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["PseudoTerminal", "open_terminal"]

POLL_SECONDS = 0.1


class PseudoTerminal:
    """The device's end of a pseudo-terminal; made by :func:`open_terminal`.

    Attributes
    ----------
    name : str
        Path of the other end, which programs open as a serial port.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self.name = descriptor, name

    def serve(self, answer: Callable[[bytes], bytes], until: Callable[[], bool]) -> None:
        """Answer received bytes until `until` returns true."""
        while not until():
            ready, _, _ = select.select([self._descriptor], [], [], POLL_SECONDS)
            if ready:
                self.send(answer(os.read(self._descriptor, 4096)))

    def send(self, content: bytes) -> None:
        """Send bytes."""
        while content:
            content = content[os.write(self._descriptor, content) :]


@contextmanager
def open_terminal() -> Iterator[PseudoTerminal]:
    """Open a pseudo-terminal for the time of the block."""
    own, other = os.openpty()
    try:
        tty.setraw(other)
        yield PseudoTerminal(own, os.ttyname(other))
    finally:
        os.close(own)
        os.close(other)
