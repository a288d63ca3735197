"""Constants of a board's server."""

import numpy as np

from systolith.devices import DEVICES
from systolith.gateware.board import BoardConfig, server_resources
from systolith.network import ActType, IntegerNetwork, Linear, Requantize, Tensor
from systolith.plan import plan_network


def test_a_network_of_vectors_has_images_of_one_pixel() -> None:
    act = ActType(bits=8, signed=True)
    dense = Linear(
        name="dense", input="input", weight=np.ones((3, 10), dtype=np.int64),
        bias=np.zeros(3, dtype=np.int64), output=act,
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([4])),
    )  # fmt: skip
    network = IntegerNetwork(name="net", input=Tensor((10,), act), layers=(dense,))
    config = BoardConfig.of(plan_network(network, multipliers=2), clock_hz=50e6, baud=1_000_000)
    assert config.image_bytes == config.transfers_in * config.lanes_in >= 10
    assert [output.values for output in config.outputs] == [3]
    assert server_resources(network, DEVICES["ecp5-25f"].block).block_rams >= 1
