"""The documentation's own tools: the picture of the imports, and the places of pages."""

import re
from pathlib import Path

import pytest

from docs.tools import house

ROOT = Path(__file__).parent.parent
PACKAGES = house.find_packages()
PLACE = re.compile(r"`((?:sw|hw|sim|flow|tests|benchmarks|examples)/[\w/.]+)`")
LINK = re.compile(r"\]\(([^)#]*)(?:#[^)]*)?\)")


def test_every_package_is_drawn(tmp_path: Path) -> None:
    house.draw(PACKAGES, tmp_path / "house.svg")
    drawn = (tmp_path / "house.svg").read_text()
    assert {"network", "plan", "gateware", "bench", "cli"} <= PACKAGES.keys()
    assert all(f">{name}</text>" in drawn for name in PACKAGES)


def test_the_table_counts_every_file() -> None:
    total = list(house.table_rows(PACKAGES))[-1]
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


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs/contributing").glob("*.md")), ids=lambda path: path.stem
)
def test_files_that_contributors_are_sent_to_exist(page: Path) -> None:
    places = [place for place in PLACE.findall(page.read_text()) if "NAME" not in place]
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_no_packages_import_each_other_in_a_circle() -> None:
    assert house.find_cycle(PACKAGES) == []
