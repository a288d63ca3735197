"""Resources that a board's server takes beside the accelerator."""

from math import ceil, prod

from systolith.devices import BlockRam, Resources
from systolith.network import IntegerNetwork
from systolith.plan import Memories

__all__ = ["SERVER_LUTS", "server_resources"]

SERVER_LUTS, SERVER_FLIP_FLOPS = 1050, 350
"""LUTs and flip-flops of a server without its stores.

Measured for ECP5 with ``python -m benchmarks.physical.board``.
"""


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
    channels, *pixels = network.input.shape
    output = network.tensors[network.outputs[0]]
    results = Memories(count=1, depth=prod(output.shape), width=output.type.bits)
    image_stores = [
        Memories(
            count=1,
            depth=prod(pixels) * ceil(channels / lanes),
            width=lanes * network.input.type.bits,
        )
        for lanes in range(1, channels + 1)
    ]
    return Resources(
        luts=SERVER_LUTS
        + results.luts(written=True)
        + max(_select_luts(store, block) for store in image_stores),
        block_rams=max(store.blocks(block) for store in image_stores),
        flip_flops=SERVER_FLIP_FLOPS,
    )


def _select_luts(store: Memories, block: BlockRam) -> int:
    """LUTs that select among the blocks of a deep store: 2 for 3 bits of each block."""
    _, parts = min(
        (ceil(store.depth / depth) * ceil(store.width / width), ceil(store.depth / depth))
        for depth, width in block.shapes
    )
    return ceil(2 * store.width * parts / 3) if parts > 1 else 0
