"""The documentation's own tools: the picture of the imports, and the places of pages."""

import re
from pathlib import Path

import pytest

from docs.tools import house

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)#]*)(?:#[^)]*)?\)")


def test_every_package_is_drawn(tmp_path: Path) -> None:
    packages = house.find_packages()
    house.draw(packages, tmp_path / "house.svg")
    drawn = (tmp_path / "house.svg").read_text()
    assert {"network", "plan", "gateware", "bench", "cli"} <= packages.keys()
    assert all(f">{name}</text>" in drawn for name in packages)


def test_the_table_counts_every_file() -> None:
    total = list(house.table_rows(house.find_packages()))[-1]
    files = [path for floor in house.FLOORS for path in (ROOT / floor).rglob("*.py")]
    folders = {path.parent for path in files}
    assert f"| **everything** | | **{len(folders)}** | **{len(files)}** |" in total


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_front_door_lead_somewhere(page: str) -> None:
    path = ROOT / page
    if not path.exists():
        pytest.skip(f"there is no {page}")
    targets = [target for target in LINK.findall(path.read_text()) if "://" not in target]
    assert [target for target in targets if target and not (ROOT / target).exists()] == []
