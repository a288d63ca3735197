"""Queues are listed with their readers and with what waits in them."""

from systolith.network import ActType, Tensor
from systolith.plan import ConcatPlan, ForkPlan, StageGraph, list_queues, plan_network
from tests.support.networks import residual_network

ACT = ActType(bits=8, signed=False)


def test_a_residual_branch_waits_for_the_layers_beside_it() -> None:
    plan = plan_network(residual_network(), multipliers=40)
    queues = list_queues(plan.graph)
    forks = [stage for stage in plan.stages if isinstance(stage, ForkPlan)]
    assert [queue.depth for queue in queues] == [depth for fork in forks for depth in fork.depths]
    by_reader = {(queue.fork.name, queue.reader): queue for queue in queues}
    around = by_reader["stem_fork", "sum"]
    assert around.reason == "'sum' waits for the branch through 'body'"
    assert around.depth > 2
    assert around.width == 8 * around.fork.lanes
    assert by_reader["stem_fork", "body"].reason == "nothing waits; the least depth"
    assert ("mean_fork", None) in by_reader, "an output of the network has no reader"


def test_a_concatenation_takes_the_transfers_of_an_input_in_bursts() -> None:
    tensor, joined = Tensor((4, 2, 2), ACT), Tensor((8, 2, 2), ACT)
    fork = ForkPlan(name="fork", output=tensor, lanes=2, depths=(2, 9))
    queue = ForkPlan(name="queue", output=tensor, lanes=2, depths=(5,))
    cat = ConcatPlan(name="cat", inputs=(tensor, tensor), output=joined, lanes=2)
    graph = StageGraph(
        stages=(fork, queue, cat),
        sources={"fork": ("input",), "queue": ("fork",), "cat": ("queue", "fork")},
        outputs=("cat",),
    )
    assert [(found.reader, found.width, found.reason) for found in list_queues(graph)] == [
        ("cat", 16, "nothing waits; the least depth"),
        ("cat", 16, "'cat' waits for the branch beside it"),
        ("cat", 16, "'cat' takes the transfers of this input in bursts"),
    ]
