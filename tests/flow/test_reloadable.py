"""Experiments whose designs take other weights."""

from pathlib import Path

from systolith.emit import load_design
from systolith.network import save
from systolith.stages import open_run
from tests.support.networks import small_network


def test_a_reloadable_design_is_proven_and_comes_with_its_load(tmp_path: Path) -> None:
    save(small_network(), tmp_path / "small.json")
    changes = {
        "hardware": {"multipliers": 12, "reloadable": True},
        "verify": {"images": 2},
        "simulate": {"images": 2},
    }
    session = open_run(tmp_path / "small.json", tmp_path / "out", changes=changes)
    report = session.run("simulate")
    assert report.verification.passed
    design = load_design(tmp_path / "out/rtl/design.json")
    assert len((tmp_path / "out/rtl/load.bin").read_bytes()) == design.load_size > 0
