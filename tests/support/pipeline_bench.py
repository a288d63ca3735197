"""A whole pipeline in Amaranth's simulator, with any number of outputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.emit import StreamPort, output_streams
from systolith.gateware import Pipeline
from systolith.network import IntArray
from tests.support.stream_bench import run_streams


@dataclass(frozen=True)
class Frames:
    """What left, by output, and when: cycles of each frame's last transfer at any output."""

    outputs: dict[str, IntArray]
    first_input: int
    last_output: list[int]

    @property
    def cycles(self) -> int:
        return self.last_output[-1] - self.first_input + 1


def run_frames(dut: Pipeline, images: IntArray, **options: Any) -> Frames:
    """Send images; options are those of :func:`run_streams`."""
    plan = dut.plan
    source = StreamPort(layer="", tensor=plan.network.input, lanes=plan.lanes_in, signal="i")
    ports = output_streams(plan)
    counts = [len(images) * port.transfers_per_frame for port in ports]
    sinks = list(zip(dut.outputs, counts, strict=True))
    runs = run_streams(dut, source.pack(source.to_transfers(images)), sinks, **options)
    outputs, ends = {}, []
    for port, run in zip(ports, runs, strict=True):
        outputs[port.layer] = port.from_transfers(port.unpack(run.outputs))
        ends.append(run.output_cycles[port.transfers_per_frame - 1 :: port.transfers_per_frame])
    return Frames(outputs, runs[0].input_cycles[0], np.max(ends, axis=0).tolist())
