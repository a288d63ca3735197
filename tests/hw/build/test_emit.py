"""Emitted Verilog."""

import os
import re
import subprocess
import sys
from pathlib import Path

from systolith.build import emit_verilog, load_design, write_design
from systolith.network import content_hash
from systolith.plan import plan_network
from tests.flow.networks import small_network

ROOT = Path(__file__).parent.parent.parent.parent
PROGRAM = """
import hashlib
from systolith.build import emit_verilog
from systolith.plan import plan_network
from tests.flow.networks import small_network
text = emit_verilog(plan_network(small_network(), multipliers=12))
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_equal_plans_give_equal_text_in_any_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_modules_keep_the_names_of_their_layers() -> None:
    text = emit_verilog(plan_network(small_network(), multipliers=12))
    for name in ("conv1.array.pe_0_0", "conv2.collector", "pool2.reader", "fc.requantize"):
        assert f"module \\systolith_top.{name} " in text


def test_text_names_no_place_of_this_machine() -> None:
    text = emit_verilog(plan_network(small_network(), multipliers=12))
    assert not re.search(r"/(home|usr|tmp|work|root)/", text)
    assert str(ROOT) not in text


def test_a_design_comes_with_its_description(tmp_path: Path) -> None:
    network = small_network()
    design = write_design(plan_network(network, multipliers=12), tmp_path / "rtl")
    assert load_design(tmp_path / "rtl/design.json") == design
    assert design.network_hash == content_hash(network)
    assert [port.layer for port in design.probes] == ["conv1", "conv2", "pool2"]
    assert design.output.layer == "fc"
    assert sorted(path.name for path in (tmp_path / "rtl").iterdir()) == [
        "design.json",
        "systolith_top.v",
    ]
