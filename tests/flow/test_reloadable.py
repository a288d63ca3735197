"""Experiments whose designs take other weights."""

from dataclasses import replace
from pathlib import Path

from systolith.config import HardwareSection
from systolith.emit import load_design
from systolith.network import save
from systolith.stages import open_run
from tests.support.networks import small_network


def test_a_reloadable_design_is_proven_and_comes_with_its_load(tmp_path: Path) -> None:
    save(small_network(), tmp_path / "small.json")
    session = open_run(tmp_path / "small.json", tmp_path / "out", multipliers=12, images=2)
    session.settings = replace(
        session.settings, hardware=HardwareSection(multipliers=12, reloadable=True)
    )
    report = session.run("simulate")
    assert report.verification["passed"]
    design = load_design(tmp_path / "out/rtl/design.json")
    assert len((tmp_path / "out/rtl/load.bin").read_bytes()) == design.load_size > 0
