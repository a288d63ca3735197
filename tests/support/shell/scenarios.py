"""Tests of a shell in the simulator, each with a started bench."""

from functools import wraps
from typing import Any

import cocotb

from tests.support.shell.agents import Bench

ALL: list[str] = []
"""Names of all tests that are imported."""


def scenario(*, loads: bool = False, **options: Any) -> Any:
    """Make a cocotb test of a function of a started bench; maybe only if it loads weights."""

    def decorate(body: Any) -> Any:
        @cocotb.test(timeout_time=2, timeout_unit="ms", name=body.__name__)
        @wraps(body)
        async def test(dut: Any) -> None:
            bench = Bench(dut)
            await bench.start(**options)
            if bench.reloadable or not loads:
                await body(bench)

        ALL.append(body.__name__)
        return test

    return decorate
