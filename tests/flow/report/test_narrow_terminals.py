"""Tables in narrow terminals: columns are left out, numbers are not cut."""

import io
import re
from collections.abc import Callable
from functools import partial

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.commands.searching import front_table
from systolith.cli.terminal import FILE_WIDTH, Terminal, out, width_of
from systolith.plan import NetworkPlan, plan_network
from systolith.report import (
    FittedTable,
    Report,
    UtilizationRow,
    engine_rows,
    estimate_performance,
    network_table,
    queue_rows,
    report_view,
    sparsity_rows,
    utilization_table,
)
from tests.support.networks import residual_network

WIDE = 200
NUMBER = re.compile(r"\d[\d,.]*")
OBJECTIVES = [
    {"name": "accuracy", "label": "accuracy", "direction": "maximize"},
    *(
        {"name": name, "label": name.replace("_", " "), "direction": "minimize"}
        for name in ("cycles_per_frame", "luts", "dsps", "block_rams")
    ),
]
POINTS = [
    {
        "number": f"{number}.1",
        "values": {"accuracy": 0.912345, "cycles_per_frame": 1234567 + number,
                   "luts": 23456, "dsps": 123, "block_rams": 208},
        "choices": {"conv2 pattern": "2-out-of-8", "conv2 weight bits": 4, "multipliers": 1024},
    }
    for number in range(3)
]  # fmt: skip
UTILIZATION = [
    UtilizationRow(
        name=f"layer{number}.conv1", luts=12345, flip_flops=23456, dsps=123,
        block_rams=45, planned_luts=11111, planned_dsps=120, planned_block_rams=44,
    )
    for number in range(3)
]  # fmt: skip


def _drawn(table: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def plan() -> NetworkPlan:
    return plan_network(residual_network(), multipliers=40)


def _report(plan: NetworkPlan, *, planning: bool) -> RenderableType:
    report = Report(
        name="x",
        seed=0,
        performance=estimate_performance(plan, clock_mhz=100),
        engines=engine_rows(plan),
        queues=queue_rows(plan),
        sparsity=sparsity_rows(plan.network),
    )
    return report_view(report, planning=planning)


TABLES: dict[str, Callable[[NetworkPlan], RenderableType]] = {
    "report": partial(_report, planning=False),
    "estimate": partial(_report, planning=True),
    "import": lambda plan: network_table(plan.network),
    "front": lambda plan: front_table(OBJECTIVES, POINTS),
    "build": lambda plan: utilization_table(UTILIZATION),
}


@pytest.mark.parametrize("width", [120, 80, 60, 48])
@pytest.mark.parametrize("name", TABLES)
def test_no_number_is_cut(name: str, width: int, plan: NetworkPlan) -> None:
    whole, shown = (_drawn(TABLES[name](plan), columns) for columns in (WIDE, width))
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown and "..." not in shown
    assert set(NUMBER.findall(shown)) <= set(NUMBER.findall(whole))
    assert len(shown) > 100, "something is shown"


@pytest.mark.parametrize("name", TABLES)
def test_columns_that_are_left_out_are_named(name: str, plan: NetworkPlan) -> None:
    assert "no room for" not in _drawn(TABLES[name](plan), WIDE)
    shown = " ".join(_drawn(TABLES[name](plan), 48).split())
    assert "no room for: " in shown


def test_columns_of_the_highest_rank_are_left_out_first() -> None:
    table = FittedTable()
    for rank, header in enumerate(("first", "second", "third")):
        table.add_column(header, rank=rank, justify="right")
    table.add_row("1234567890", "2345678901", "3456789012")
    assert all(text in _drawn(table, 60) for text in ("1234567890", "2345678901", "3456789012"))
    narrow = _drawn(table, 30)
    assert "2345678901" in narrow and "third" in narrow and "3456789012" not in narrow
    assert "2345678901" not in _drawn(table, 20) and "1234567890" in _drawn(table, 20)


def test_texts_are_wrapped_before_a_name_is() -> None:
    table = FittedTable()
    table.add_column("stage")
    table.add_column("text", wraps=True)
    table.add_row("stage_with_a_long_name", "several words that are wrapped")
    shown = _drawn(table, 44)
    assert "stage_with_a_long_name" in shown and "several words" in shown


def test_doctor_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = CliRunner().invoke(app, ["doctor"]).stdout
    monkeypatch.setattr(out, "width", 60)
    shown = CliRunner().invoke(app, ["doctor"]).stdout
    assert max(map(len, shown.splitlines())) <= 60 < max(map(len, whole.splitlines()))
    assert "…" not in shown


def test_a_file_is_wide_unless_columns_says_how_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width_of(io.StringIO()) == width_of(None) == FILE_WIDTH
    monkeypatch.setenv("COLUMNS", "72")
    assert width_of(io.StringIO()) is None and Terminal(width=None).width == 72
