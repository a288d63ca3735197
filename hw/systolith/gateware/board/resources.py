"""Resources that a board's server takes beside the accelerator."""

from math import ceil, prod

from systolith.devices import BlockRam, Resources
from systolith.gateware.board.result_store import MOST_DISTRIBUTED
from systolith.network import IntegerNetwork, Tensor
from systolith.plan import Memories

__all__ = ["SERVER_LUTS", "server_resources"]

SERVER_LUTS, SERVER_FLIP_FLOPS = 1075, 350
"""LUTs and flip-flops of a server of one output without its stores.

Measured for ECP5 with ``python -m benchmarks.physical.board``.
"""


OUTPUT_LUTS, CLASS_LUTS, OUTPUT_FLIP_FLOPS = 90, 70, 100
"""LUTs of each output behind the first, without its store, and of its class; flip-flops of both."""


def server_resources(network: IntegerNetwork, block: BlockRam) -> Resources:
    """Estimate the resources of serial line, packets and stores.

    Block RAMs are exact for the least favourable width of transfers, with results that leave one by
    one. LUTs and flip-flops are rounded up from measurements.

    Parameters
    ----------
    network : IntegerNetwork
    block : BlockRam
        The device's blocks of memory.
    """
    image = _stores(network.input)
    result_luts = result_blocks = 0
    for name in network.outputs:
        output = network.tensors[name]
        if prod(output.shape) <= MOST_DISTRIBUTED:
            result_luts += _stores(output)[0].luts(written=True)
        else:
            stores = _stores(output)
            result_luts += max(_select_luts(store, block) for store in stores)
            result_blocks += max(store.blocks(block) for store in stores)
    others = network.outputs[1:]
    vectors = [name for name in others if len(network.tensors[name].shape) == 1]
    return Resources(
        luts=SERVER_LUTS
        + len(others) * OUTPUT_LUTS
        + len(vectors) * CLASS_LUTS
        + result_luts
        + max(_select_luts(store, block) for store in image),
        block_rams=max(store.blocks(block) for store in image) + result_blocks,
        flip_flops=SERVER_FLIP_FLOPS + len(others) * OUTPUT_FLIP_FLOPS,
    )


def _stores(tensor: Tensor) -> list[Memories]:
    """Give the memories of a tensor for each width of transfers, one value at a time first."""
    channels, *pixels = tensor.shape
    return [
        Memories(
            count=1, depth=prod(pixels) * ceil(channels / lanes), width=lanes * tensor.type.bits
        )
        for lanes in range(1, channels + 1)
    ]


def _select_luts(store: Memories, block: BlockRam) -> int:
    """LUTs that select among the blocks of a deep store: 2 for 3 bits of each block."""
    _, parts = min(
        (ceil(store.depth / depth) * ceil(store.width / width), ceil(store.depth / depth))
        for depth, width in block.shapes
    )
    return ceil(2 * store.width * parts / 3) if parts > 1 else 0
