"""Write products of two tensors, one of which may be a gate that is repeated."""

from systolith.fuzz.graphs import nodes, weighted
from systolith.fuzz.graphs.quantizers import write_quantizer
from systolith.fuzz.graphs.writer import Writer

__all__ = ["write_gate", "write_product"]


def write_gate(writer: Writer, x: str) -> str:
    """Write a quantized tensor with one value for each channel, pixel, or channel and pixel."""
    match writer.choices.integer(0, 5):
        case 0 | 1 | 2:
            y = writer.add("GlobalAveragePool", x)
            writer.dyadic &= (writer.image(x)[1] * writer.image(x)[2]).bit_count() == 1
            if writer.chance(60):
                y = write_quantizer(writer, y)
                y = weighted.write_convolution(writer, y, same_size=True)
        case 3 | 4:
            y = weighted.write_convolution(writer, x, same_size=True, filters=1)
        case _:
            y = weighted.write_convolution(writer, x, same_size=True)
    if writer.chance(50):
        y = nodes.write_function(writer, write_quantizer(writer, y))
    return write_quantizer(writer, y)


def write_product(writer: Writer, x: str, other: str) -> str:
    """Write a Mul of two tensors, in any order, perhaps with a Relu or a Clip."""
    operands = [x, other] if writer.chance(60) else [other, x]
    y = writer.add("Mul", *operands)
    return nodes.write_clip(writer, y) if writer.chance(30) else y
