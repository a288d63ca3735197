"""A whole pipeline in Amaranth's simulator, with any number of outputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.emit import StreamPort, output_streams
from systolith.gateware import Pipeline
from systolith.network import IntArray
from tests.support.stream_bench import StreamBench


@dataclass(frozen=True)
class Frames:
    """What left, by output, and when: cycles of each frame's last transfer at any output."""

    outputs: dict[str, IntArray]
    first_input: int
    last_output: list[int]

    @property
    def cycles(self) -> int:
        return self.last_output[-1] - self.first_input + 1


class PipelineBench:
    """A pipeline that is elaborated once and simulated from reset as often as wanted."""

    def __init__(self, dut: Pipeline) -> None:
        plan = dut.plan
        self._source = StreamPort(
            layer="", tensor=plan.network.input, lanes=plan.lanes_in, signal="i"
        )
        self._ports = output_streams(plan)
        self._streams = StreamBench(dut, dut.outputs)

    def run(self, images: IntArray, **options: Any) -> Frames:
        """Send images; options are those of :meth:`StreamBench.run`."""
        source, ports = self._source, self._ports
        counts = [len(images) * port.transfers_per_frame for port in ports]
        runs = self._streams.run(source.pack(source.to_transfers(images)), counts, **options)
        outputs, ends = {}, []
        for port, run in zip(ports, runs, strict=True):
            outputs[port.layer] = port.from_transfers(port.unpack(run.outputs))
            ends.append(run.output_cycles[port.transfers_per_frame - 1 :: port.transfers_per_frame])
        return Frames(outputs, runs[0].input_cycles[0], np.max(ends, axis=0).tolist())


def run_frames(dut: Pipeline, images: IntArray, **options: Any) -> Frames:
    """Send images once; options are those of :meth:`StreamBench.run`."""
    return PipelineBench(dut).run(images, **options)
