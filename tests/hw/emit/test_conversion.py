"""Conversion to Verilog: the faster way gives the same text as Amaranth's own."""

import gc
from collections.abc import Sequence
from typing import Any

import pytest
from amaranth import Module
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.emit import verilog


class Store(wiring.Component):
    """A memory that is read and written."""

    address: Any
    data: Any
    written: Any

    def __init__(self, shape: Any, words: Sequence[int]) -> None:
        self.shape, self.words = shape, words
        members = {"address": In(range(8)), "data": Out(shape), "written": In(shape)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = Memory(shape=self.shape, depth=8, init=self.words)
        read, write = words.read_port(), words.write_port()
        m.d.comb += [read.addr.eq(self.address), read.en.eq(1), self.data.eq(read.data)]
        m.d.comb += [write.addr.eq(self.address), write.en.eq(1), write.data.eq(self.written)]
        return m


@pytest.mark.parametrize(
    ("shape", "words"),
    [(1, [1, 0, 1]), (5, range(8)), (33, []), (range(-4, 4), [-4, -1, 0, 3])],
    ids=str,
)
def test_contents_of_memories_are_those_of_amaranth(shape: Any, words: Sequence[int]) -> None:
    plain = rtlil.convert(Store(shape, words), name="store", emit_src=False)
    with verilog.fast_conversion():
        assert rtlil.convert(Store(shape, words), name="store", emit_src=False) == plain


def test_amaranth_is_as_before_after_an_error() -> None:
    by_bits = rtlil.ModuleEmitter.emit_memory
    with pytest.raises(RuntimeError, match=r"^fails$"), verilog.fast_conversion():
        assert not gc.isenabled()
        raise RuntimeError("fails")
    assert gc.isenabled()
    assert rtlil.ModuleEmitter.emit_memory is by_bits
