"""Shapes of activations on streams and in memories."""

from amaranth import Shape, signed, unsigned
from amaranth.lib import data, stream

from systolith.network import ActType

__all__ = ["act_shape", "act_stream", "act_word"]


def act_shape(act: ActType) -> Shape:
    """Shape of one activation."""
    return signed(act.bits) if act.signed else unsigned(act.bits)


def act_word(act: ActType, lanes: int) -> data.ArrayLayout:
    """Layout of neighbouring activations; lane 0 in the least significant bits."""
    return data.ArrayLayout(act_shape(act), lanes)


def act_stream(act: ActType, lanes: int) -> stream.Signature:
    """Signature of a stream with `lanes` activations per transfer."""
    return stream.Signature(act_word(act, lanes))
