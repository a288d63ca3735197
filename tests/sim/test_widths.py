"""Payloads from one bit to thousands, in both benches."""

from pathlib import Path

import numpy as np
import pytest

from systolith.bench import RANDOM, compile_native, compile_streams, from_words, to_words
from systolith.emit import Design, StreamPort
from systolith.network import ActType, Tensor

VERILOG = """\
module widths(
  input clk, input rst,
  input {i} i__payload, input i__valid, output i__ready,
  output {o} o__payload, output o__valid, input o__ready
);
  wire {i} \\a.b__payload = ~i__payload;
  wire \\a.b__valid = i__valid, \\a.b__ready = o__ready;
  assign o__payload = {{{copies}{{\\a.b__payload }}}};
  assign o__valid = i__valid;
  assign i__ready = o__ready;
endmodule
"""


def _design(folder: Path, lanes: int, copies: int, *, bits: int = 1) -> Design:
    """Invert a payload of `lanes` values and repeat it."""
    width, source = lanes * bits, folder / f"widths_{lanes}_{copies}.v"
    ranges = ["" if size == 1 else f"[{size - 1}:0]" for size in (width, width * copies)]
    source.write_text(VERILOG.format(i=ranges[0], o=ranges[1], copies=copies))
    act = ActType(bits=bits, signed=False)
    narrow, wide = Tensor((lanes, 2, 3), act), Tensor((lanes * copies, 2, 3), act)
    return Design(
        top="widths",
        sources=(source,),
        input=StreamPort(layer="input", tensor=narrow, lanes=lanes, signal="i"),
        probes=(StreamPort(layer="not", tensor=narrow, lanes=lanes, signal="a.b"),),
        outputs=(StreamPort(layer="o", tensor=wide, lanes=lanes * copies, signal="o"),),
    )


@pytest.mark.parametrize(
    ("lanes", "copies", "bits"),
    [(1, 2401, 1), (3, 1, 11), (2001, 1, 1)],
    ids=["1 to 2401 bits", "33 bits", "2001 bits"],
)
def test_native_driver_takes_any_width(
    workdir: Path, tmp_path: Path, lanes: int, copies: int, bits: int
) -> None:
    design = _design(tmp_path, lanes, copies, bits=bits)
    images = np.random.default_rng(0).integers(0, 1 << bits, (4, lanes, 2, 3))
    result = compile_native(design, workdir, quick=True).run(images, stalls=RANDOM)
    assert np.array_equal(result.output, np.tile((1 << bits) - 1 - images, (1, copies, 1, 1)))


def test_cocotb_bench_takes_any_width_and_odd_names(workdir: Path, tmp_path: Path) -> None:
    design = _design(tmp_path, 1, 2401)
    images = np.random.default_rng(0).integers(0, 2, (4, 1, 2, 3))
    run = compile_streams(design, workdir, quick=True).run(images, stalls=RANDOM)
    assert not run.violations
    got = [trace.port.from_transfers(trace.values) for trace in run.traces]
    assert np.array_equal(got[0], images)
    assert np.array_equal(got[1], 1 - images)
    assert np.array_equal(got[2], np.tile(1 - images, (1, 2401, 1, 1)))


@pytest.mark.parametrize("bits", range(2, 17))
@pytest.mark.parametrize("lanes", [1, 3, 40])
@pytest.mark.parametrize("signed", [False, True])
def test_words_are_the_payloads_of_the_port(bits: int, lanes: int, signed: bool) -> None:
    act = ActType(bits=bits, signed=signed)
    port = StreamPort(layer="x", tensor=Tensor((lanes, 1, 1), act), lanes=lanes, signal="x")
    values = np.random.default_rng(0).integers(act.low, act.high + 1, (5, lanes))
    values[0], values[1] = act.low, act.high
    words = to_words(port, values)
    payloads = [int.from_bytes(row.tobytes(), "little") for row in words]
    assert payloads == port.pack(values)
    assert np.array_equal(from_words(port, words), values)
    assert from_words(port, words[:0]).shape == (0, lanes)
