"""The device's side of the serial protocol of EEMBC's runner for MLPerf Tiny.

Commands end with ``%``. Answers are lines; the last one is ``m-ready``. Written from what
MLCommons and EEMBC have published in ``mlcommons/tiny`` and ``eembc/energyrunner``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Inference", "RunnerDevice"]

END = "%"
READY = "m-ready"
MOST_COMMAND = 80
"""Characters of a command."""
SHOWN_BYTES = 8
"""Bytes of a line of ``db print``."""
WARMUPS = 10
"""If the runner names none."""
FIRMWARE = "ULPMark for tinyML Firmware V0.0.1"
"""The profile that the runner looks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """Result of one inference.

    Attributes
    ----------
    results : sequence of float
    cycles : int
        That the board counted.
    """

    results: Sequence[float]
    cycles: int


class RunnerDevice:
    """Answers the commands of the runner.

    Time is the sum of the cycles of all inferences, over the clock: what the board counts, without
    the serial line.

    Parameters
    ----------
    infer : callable
        Computes an input, given as bytes.
    input_bytes : int
        Bytes of an input.
    model : str
        Benchmark, such as ``"ic01"``.
    clock_mhz : float
    vendor : str
        Answer to ``name``.
    most_runs : int, optional
        Inferences of one command that really run; the others are counted with the cycles of the
        last one. They compute the same input again, and cycles do not depend on values. None runs
        all.
    """

    def __init__(
        self,
        infer: Callable[[bytes], Inference],
        *,
        input_bytes: int,
        model: str,
        clock_mhz: float,
        vendor: str = "systolith",
        most_runs: int | None = None,
    ) -> None:
        self.infer, self.input_bytes, self.model = infer, input_bytes, model
        self.clock_mhz, self.vendor, self.most_runs = clock_mhz, vendor, most_runs
        self._cycles = 0
        self._command = ""
        self._buffer, self._size = b"", 0
        self._last: Inference | None = None

    def greet(self) -> bytes:
        """Give what a device sends when it starts."""
        return _lines(["m-timestamp-mode-performance", "m-init-done", READY])

    def feed(self, received: bytes) -> bytes:
        """Take bytes of the line. Returns the answers to all commands that are complete."""
        answers = b""
        for sign in received.decode("ascii", errors="replace"):
            if sign != END:
                self._command += sign
                continue
            command, self._command = self._command.strip(), ""
            answers += _lines([*self._answer(command), READY])
        return answers

    def _answer(self, command: str) -> Iterator[str]:
        if len(command) > MOST_COMMAND:
            yield f"e-[Command longer than {MOST_COMMAND} characters]"
            return
        match command.split():
            case ["name"]:
                yield f"m-name-dut-[{self.vendor}]"
            case ["timestamp"]:
                yield self._timestamp()
            case ["profile"]:
                yield f"m-profile-[{FIRMWARE}]"
                yield f"m-model-[{self.model}]"
            case ["help"]:
                yield from HELP
            case ["db", *rest]:
                yield from self._load(rest)
            case ["infer", *numbers]:
                yield from self._run(numbers)
            case ["results"]:
                yield self._results()
            case _:
                yield f"e-[Unknown command: {command}]"

    def _timestamp(self) -> str:
        return f"m-lap-us-{int(self._cycles / self.clock_mhz)}"

    def _load(self, words: Sequence[str]) -> Iterator[str]:
        match words:
            case ["load", size] if size.isdecimal() and int(size) > 0:
                if int(size) != self.input_bytes:
                    yield f"e-[An input has {self.input_bytes} bytes]"
                    return
                self._buffer, self._size = b"", int(size)
                yield f"m-[Expecting {size} bytes]"
            case ["load", *_]:
                yield "e-[Command 'db load' requires the # of bytes]"
            case ["print", *_]:
                for start in range(0, len(self._buffer), SHOWN_BYTES):
                    shown = self._buffer[start : start + SHOWN_BYTES]
                    yield f"m-buffer-{shown.hex('-')}"
            case [digits]:
                yield from self._append(digits)
            case _:
                yield "e-[Command 'db' requires a subcommand]"

    def _append(self, digits: str) -> Iterator[str]:
        try:
            given = bytes.fromhex(digits)
        except ValueError:
            yield "e-[Invalid hex digits]"
            return
        missing = self._size - len(self._buffer)
        self._buffer += given[:missing]
        if missing and len(self._buffer) == self._size:
            yield "m-load-done"

    def _run(self, words: Sequence[str]) -> Iterator[str]:
        numbers = [int(word) if word.isdecimal() else -1 for word in words]
        count, warmups = [*numbers, *(1, WARMUPS)[len(numbers) :]][:2]
        if count < 1 or warmups < 0 or len(numbers) > 2:
            yield "e-[infer requires iterations above 0, and warmups from 0]"
            return
        if not self._size or len(self._buffer) < self._size:
            yield f"e-[Input db has {len(self._buffer)} bytes, expected {self.input_bytes}]"
            return
        yield f"m-warmup-start-{warmups}"
        self._compute(warmups)
        yield "m-warmup-done"
        yield f"m-infer-start-{count}"
        yield self._timestamp()
        self._compute(count)
        yield self._timestamp()
        yield "m-infer-done"
        yield self._results()

    def _compute(self, count: int) -> None:
        really = count if self.most_runs is None else min(count, self.most_runs)
        for _ in range(really):
            self._last = self.infer(self._buffer)
            self._cycles += self._last.cycles
        if count > really and self._last is not None:
            self._cycles += (count - really) * self._last.cycles

    def _results(self) -> str:
        if self._last is None:
            return "e-[No inference yet]"
        return f"m-results-[{','.join(f'{value:.3f}' for value in self._last.results)}]"


HELP = (
    FIRMWARE,
    "help: these lines",
    "name: name of the device",
    "timestamp: microseconds that the accelerator has computed",
    "profile: firmware and benchmark",
    "db load N: expect N bytes of an input",
    "db HH[HH]*: some of these bytes, in hex",
    "db print: the bytes so far",
    "infer N [W]: N inferences of the input after W others; timestamps before and after, results",
    "results: results of the last inference",
)


def _lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
