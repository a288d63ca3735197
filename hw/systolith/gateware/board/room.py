"""What a board takes of a device beside the accelerator."""

from math import ceil, prod

from systolith.devices import BlockRam, Resources
from systolith.network import IntegerNetwork
from systolith.plan import Memory

__all__ = ["SERVER_LUTS", "server_resources"]

SERVER_LUTS, SERVER_FLIP_FLOPS = 1050, 350
"""Of a server without its stores.

Measured for ECP5 with ``python -m benchmarks.physical.board``.
"""


def server_resources(network: IntegerNetwork, block: BlockRam) -> Resources:
    """Count what serial line, packets and stores take.

    Blocks of memory are exact, for the least favourable width of transfers; LUTs and flip-flops
    are rounded up from what was measured. Outputs are taken to leave one by one.

    Parameters
    ----------
    network : IntegerNetwork
    block : BlockRam
        What the device's blocks of memory are.
    """
    channels, height, width = network.input.shape
    output = network.tensors[network.outputs[0]]
    results = Memory(count=1, depth=prod(output.shape), width=output.type.bits)
    images = [
        Memory(
            count=1,
            depth=height * width * ceil(channels / lanes),
            width=lanes * network.input.type.bits,
        )
        for lanes in range(1, channels + 1)
    ]
    return Resources(
        luts=SERVER_LUTS
        + results.luts(written=True)
        + max(_choice(each, block) for each in images),
        block_rams=max(each.blocks(block) for each in images),
        flip_flops=SERVER_FLIP_FLOPS,
    )


def _choice(memory: Memory, block: BlockRam) -> int:
    """LUTs that choose between blocks where a memory is deeper than one: 2 for 3 bits of each."""
    _, parts = min(
        (ceil(memory.depth / depth) * ceil(memory.width / width), ceil(memory.depth / depth))
        for depth, width in block.shapes
    )
    return ceil(2 * memory.width * parts / 3) if parts > 1 else 0
