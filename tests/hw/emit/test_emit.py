"""Emitted Verilog."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from systolith.emit import Design, emit_verilog, load_design, write_design
from systolith.network import IntegerNetwork, content_hash
from systolith.plan import ArrayShape, plan_network
from tests.support.networks import small_network

ROOT = Path(__file__).parent.parent.parent.parent
PROGRAM = """
import hashlib
from systolith.emit import emit_verilog
from systolith.plan import ArrayShape, plan_network
from tests.support.networks import small_network
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
    for name in ("conv1.array", "conv2.collector", "pool2.reader", "fc.requantize"):
        assert f"module \\systolith_top.{name} " in text


def test_equal_pes_are_instances_of_one_module() -> None:
    arrays = {
        "conv1": ArrayShape(rows=3, columns=2),
        "conv2": ArrayShape(rows=3, columns=2),
        "fc": ArrayShape(rows=1, columns=1),
    }
    text = emit_verilog(plan_network(small_network(), arrays=arrays))
    modules = re.findall(r"^module (systolith_top_pe_\w+)\(", text, re.MULTILINE)
    instances = re.findall(r"^  (systolith_top_pe_\w+) pe_\d+_\d+ \(", text, re.MULTILINE)
    assert len(modules) == 3  # no two layers have equal widths here
    assert sorted(set(instances)) == sorted(modules)
    assert len(instances) == 3 * 2 + 3 * 2 + 1


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
        "README.md",
        "design.json",
        "lint.vlt",
        "systolith_top.v",
    ]


def test_an_interrupted_write_leaves_no_description_of_other_verilog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_network(small_network(), multipliers=12)
    before = write_design(plan, tmp_path)
    text = before.sources[0].read_text()

    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("systolith.emit.network.emit_verilog", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_design(plan, tmp_path)
    assert load_design(tmp_path / "design.json") == before
    assert before.sources[0].read_text() == text
    with monkeypatch.context() as patch:
        patch.setattr(Design, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_design(plan_network(small_network(), multipliers=20), tmp_path)
    assert "design.json" not in [path.name for path in tmp_path.iterdir()]


def test_files_are_written_beside_and_then_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[tuple[str, str]] = []
    rename = Path.replace

    def observed(self: Path, target: Path) -> Path:
        assert not target.exists()
        assert self.stat().st_size > 0
        renamed.append((self.name, target.name))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", observed)
    write_design(plan_network(small_network(), multipliers=12), tmp_path)
    names = ["systolith_top.v", "lint.vlt", "README.md", "design.json"]
    assert [name for _, name in renamed] == names
    assert all(before.startswith(".") and ".tmp" in before for before, _ in renamed)


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOSYS", raising=False)
    before = dict(os.environ)
    emit_verilog(plan_network(small_network(), multipliers=12))
    assert dict(os.environ) == before


def test_names_with_dots_and_keywords_of_verilog_are_kept_apart(tmp_path: Path) -> None:
    network = small_network()
    names = {"conv1": "module", "conv2": "block1.always", "pool2": "block1.always.wire"}
    layers = tuple(
        replace(
            layer,
            name=names.get(layer.name, layer.name),
            input=names.get(layer.inputs[0], layer.inputs[0]),
        )  # type: ignore[call-arg]
        for layer in network.layers
    )
    renamed = IntegerNetwork(input=network.input, layers=layers)
    design = write_design(plan_network(renamed, multipliers=12), tmp_path)
    assert [port.layer for port in design.probes] == list(names.values())
    text = design.sources[0].read_text()
    for signal in ("module", "block1_always", "block1_always_wire"):
        assert signal in [port.signal for port in design.probes]
        for part in ("payload", "valid", "ready"):
            assert len(re.findall(rf"^  wire (\[\d+:0\] )?{signal}__{part};$", text, re.M)) == 1
