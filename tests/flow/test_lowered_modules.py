"""From PyTorch to RTL: random modules are quantized, lowered, and judged like any other network."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from systolith.frontend import lower
from systolith.fuzz import Case, judge_case
from systolith.plan import PlanError
from systolith.quant import QuantizedModel
from tests.support.quantized_models import quantized_models
from tests.support.random_networks import random_images

Check = Callable[[QuantizedModel], None]
CYCLES = 4000


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    builds: Path = tmp_path_factory.mktemp("builds")

    def check(model: QuantizedModel) -> None:
        network = lower(model)
        case = Case(network=network, images=random_images(network, 2, 0))
        try:
            plan = case.plan()
        except PlanError:  # no engine computes k per neuron of a depthwise convolution
            assume(False)
        assume(plan.cycles(2) < CYCLES)
        assert judge_case(case, builds).findings == ()

    return check


def _examples(count: int) -> settings:
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )


@_examples(1)
@given(quantized_models())
def test_lowered_modules_are_equal_in_rtl(check: Check, model: QuantizedModel) -> None:
    check(model)


@pytest.mark.slow
@_examples(25)
@given(quantized_models())
def test_many_lowered_modules_are_equal_in_rtl(check: Check, model: QuantizedModel) -> None:
    check(model)
