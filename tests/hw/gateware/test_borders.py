"""Borders of stages: no path goes through a stage within a cycle, in either direction."""

from typing import get_args

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware import make_stage
from systolith.network import ActType, ArgMax, IntegerNetwork, Multiply, Requantize, Table, Tensor
from systolith.plan import NetworkPlan, StagePlan, plan_network
from tests.support.combinational import combinational_paths
from tests.support.moving_networks import MOVING_NETWORKS, moving_network
from tests.support.networks import residual_network, small_network


def _products() -> IntegerNetwork:
    act = ActType(bits=4, signed=True)
    requantize = Requantize(multiplier=np.array([1]), shift=np.array([3]))
    layers = (
        Table(name="t", input="input", values=np.arange(-8, 8), output=act),
        Multiply(name="p", inputs=("t", "input"), requantize=requantize, output=act),
        ArgMax(name="a", input="p", classes=4),
    )
    return IntegerNetwork(input=Tensor((4, 3, 3), act), layers=layers)


NETWORKS = {
    "small": small_network,
    "residual": residual_network,
    "products": _products,
    **{name: lambda name=name: moving_network(name) for name in MOVING_NETWORKS},
}


def _plan(name: str) -> NetworkPlan:
    return plan_network(NETWORKS[name](), multipliers=16)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_path_goes_through_a_stage(name: str) -> None:
    network = _plan(name)
    through = {plan.name: combinational_paths(make_stage(network, plan)) for plan in network.stages}
    assert through == {plan.name: set() for plan in network.stages}


def test_all_kinds_of_stages_are_seen() -> None:
    kinds = {type(plan) for name in NETWORKS for plan in _plan(name).stages}
    assert kinds == set(get_args(StagePlan))


def test_paths_are_found() -> None:
    class Wire(wiring.Component):
        i: In(stream.Signature(4))
        o: Out(stream.Signature(4))

        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.d.sync += self.o.payload.eq(self.i.payload)
            m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(~self.o.ready)]
            return m

    assert combinational_paths(Wire()) == {("i__valid", "o__valid"), ("o__ready", "i__ready")}
