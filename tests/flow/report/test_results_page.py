"""The results page of a run: its figures are those of report.json, as text and in a browser."""

import json
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from systolith.cli import app
from systolith.network import save
from systolith.report import CheckResult, Report, VerificationResult, write_results_page
from tests.support.browsing import errors_in, open_file, overflow_at, requested_by
from tests.support.networks import small_network

SAVED = Path(__file__).with_name("digits_report.json")
SECTIONS = [
    *("accuracy", "pruning", "engines", "resources", "timing", "verification", "stages"),
    "repeat",
]
HOSTILE = "</style><script>window.hacked = 1</script><img src=x onerror='hacked=1'>&lt;"


class Page(HTMLParser):
    """The numbers and texts of each section, and everything that elements point to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.numbers: dict[str, list[float]] = {"": []}
        self.text: dict[str, str] = {"": ""}
        self.targets: list[str] = []
        self.tags: set[str] = set()
        self.section = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        if tag == "section":
            self.section = values["id"]
            self.numbers[self.section], self.text[self.section] = [], ""
        if tag == "data":
            self.numbers[self.section].append(float(values["value"]))
        self.targets += [value for name, value in values.items() if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        self.text[self.section] += data


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(SAVED.read_text())
    return content


def _write(report: Report, folder: Path) -> Page:
    for name in ("floorplan.png", "prune/pictures/overview.png", "prune/pictures/conv2.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (800, 300), "white").save(folder / name)
    return Page(write_results_page(report, folder))


def _paths(content: Any, prefix: str = "") -> Iterator[str]:
    """Name every key of nested JSON values."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield f"{prefix}/{key}"
            yield from _paths(value, f"{prefix}/{key}")
    if isinstance(content, list):
        for value in content:
            yield from _paths(value, f"{prefix}[]")


# The dataclasses


def test_a_saved_report_keeps_its_keys_and_values() -> None:
    content = _content()
    again = Report.from_json(content).to_json()
    assert set(_paths(again)) == set(_paths(content))
    assert again == content
    del content["queues"]
    assert Report.from_json(content).to_json() == again, "older reports have no queues"


@pytest.mark.parametrize(
    "changes",
    [
        {"build": {}, "accuracy": {}, "design": {}, "verification": {}, "files": {}},
        {"performance": {}, "engines": [], "sparsity": {}, "stages": []},
        {"accuracy": {"rtl": 0.5, "rtl_images": 6}},
        {
            "build": {
                "part": "ecp5-25f speed 6 CABGA381",
                "board": None,
                "estimate": True,
                "used": {"LUT4": 7},
                "bitstream": None,
                "resources": [{"name": "LUTs", "used": 7, "available": 9}],
            }
        },
        {"command": "systolith run x.toml", "versions": {"torch": "2.6"}},
    ],
)
def test_sections_that_are_missing_stay_missing(changes: dict[str, Any], tmp_path: Path) -> None:
    content = _content() | changes
    report = Report.from_json(content)
    assert report.to_json() == content
    page = _write(report, tmp_path)
    gone = {name: not content[name] for name in ("accuracy", "engines", "verification", "stages")}
    gone["timing"] = not content["build"] or content["build"]["estimate"]
    gone["pruning"] = not content["sparsity"]
    gone["resources"] = not content["build"] and not content["performance"]
    assert [name for name in SECTIONS if not gone.get(name)] == list(page.text)[1:]


# The page as text


def test_the_figures_of_each_section_are_those_of_the_report(tmp_path: Path) -> None:
    content = _content()
    page = _write(Report.from_json(content), tmp_path)
    accuracy, checks = content["accuracy"], content["verification"]
    performance, build = content["performance"], content["build"]
    assert list(page.numbers)[1:] == SECTIONS
    states = ("float", "pruned", "integer", "rtl")
    assert page.numbers["accuracy"] == [accuracy[state] for state in states]
    layers = content["sparsity"]["layers"]
    kept = [number for row in layers for number in (row["kept"], row["total"])]
    macs = [performance["macs_kept"], performance["macs_unpruned"]]
    assert page.numbers["pruning"] == kept + macs
    engines = [
        number
        for row in content["engines"]
        for number in (1 - row["idle"], row["cycles"],
                       *([row["multipliers"]] * bool(row["multipliers"])))
    ]  # fmt: skip
    assert page.numbers["engines"] == [*engines, performance["cycles_per_frame"]]
    uses = [number for use in build["resources"] for number in (use["used"], use["available"])]
    assert page.numbers["resources"][: len(uses)] == uses
    kinds = ("luts", "flip_flops", "dsps", "block_rams")
    assert page.numbers["resources"][-4:] == [
        sum(row[kind] for row in build["engines"]) for kind in kinds
    ]
    placed = {row[kind] for row in build["engines"] for kind in kinds} - {0}
    assert placed <= set(page.numbers["resources"])
    rates = [build["frames_per_second"], build["frames_per_second_at_target"]]
    assert page.numbers["timing"] == [build["clock_mhz"], *build["fmax_mhz"].values(), *rates]
    assert build["critical_path"] in page.text["timing"]
    assert "Routed by router1 (seed 1); yosys 0.70" in page.text["timing"]
    counts = ("images", "mismatches", "cycles_predicted", "cycles_simulated", "images_per_second")
    assert page.numbers["verification"] == [checks[name] for name in counts]
    for check in checks["checks"]:
        assert check["name"] in page.text["verification"]
        assert check["what"] in page.text["verification"]
    seconds = [stage["seconds"] for stage in content["stages"]]
    assert page.numbers["stages"] == [*seconds, pytest.approx(sum(seconds))]
    assert page.numbers["repeat"] == [content["seed"]]
    for text in (content["machine"], content["systolith"], *content["design"].values()):
        assert text in page.text["repeat"]


def test_the_command_and_the_versions_are_shown(tmp_path: Path) -> None:
    report = Report(name="x", seed=3, command="systolith run 'my net.toml' --seed 3")
    page = _write(report, tmp_path)
    assert list(page.text)[1:] == ["repeat"]
    assert "systolith run 'my net.toml' --seed 3" in page.text["repeat"]
    assert "python" in report.versions
    for name, version in report.versions.items():
        assert f"{name} {version}" in page.text["repeat"]


def test_the_page_points_to_files_of_the_run_and_runs_nothing(tmp_path: Path) -> None:
    content = _content()
    page = _write(Report.from_json(content), tmp_path)
    pictures = [target for target in page.targets if target.startswith("data:image/png;base64,")]
    assert len(pictures) == 3
    own = {target for target in page.targets if not target.startswith(("#", "data:"))}
    assert own == {"report.json", *content["files"].values()}
    assert "script" not in page.tags
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not [word for word in ("http:", "https:", "@import", "url(") if word in text]


def test_names_are_escaped(tmp_path: Path) -> None:
    content = json.loads(json.dumps(_content()).replace("conv2", HOSTILE))
    page = _write(Report.from_json(content | {"name": HOSTILE}), tmp_path)
    assert "script" not in page.tags and "x" not in page.targets
    assert HOSTILE in page.text["engines"] and HOSTILE in page.text["pruning"]
    assert HOSTILE in page.text[""]


def test_failures_are_shown_first(tmp_path: Path) -> None:
    report = Report.from_json(_content())
    failed = CheckResult(
        name="whole network", hardware=True, what="7 streams", passed=False,
        findings=("conv2: expected 3, got 4",),
    )  # fmt: skip
    assert report.build is not None and report.build.placed is not None
    report.verification = VerificationResult(checks=(failed,))
    report.build = replace(report.build, placed=replace(report.build.placed, timing_met=False))
    assert report.failed
    page = _write(report, tmp_path)
    assert "not equal to the reference" in page.text[""]
    assert "clock too slow" in page.text[""]
    assert "conv2: expected 3, got 4" in page.text["verification"]


def test_a_command_writes_the_page_beside_report_json(tmp_path: Path) -> None:
    save(small_network(), tmp_path / "small.json")
    arguments = ["estimate", str(tmp_path / "small.json"), "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    content = json.loads((tmp_path / "out/report.json").read_text())
    page = Page(tmp_path / "out/report.html")
    assert page.numbers["engines"][-1] == content["performance"]["cycles_per_frame"]
    resources = content["performance"]["resources"]
    assert set(resources.values()) <= set(page.numbers["resources"])


# In a browser


def test_the_page_opens_without_errors_and_fits_a_phone(browser: Any, tmp_path: Path) -> None:
    content = json.loads(json.dumps(_content()).replace("conv2", "stage_with_a_long_name" * 3))
    report = Report.from_json(content | {"name": "a" * 60})
    _write(report, tmp_path)
    open_file(browser, tmp_path / "report.html")
    assert errors_in(browser) == []
    assert requested_by(browser) <= {"file", "data"}
    loaded = "return [...document.images].map(image => image.naturalWidth)"
    assert browser.execute_script(loaded) == [800, 800, 800]
    assert [overflow_at(browser, width) for width in (1280, 800, 400, 320)] == [0, 0, 0, 0]


def test_markup_in_names_is_shown_as_text(browser: Any, tmp_path: Path) -> None:
    report = Report.from_json(_content())
    report.name = HOSTILE
    _write(report, tmp_path)
    open_file(browser, tmp_path / "report.html")
    assert browser.execute_script("return document.querySelector('h1').textContent") == HOSTILE
    assert browser.execute_script("return window.hacked") is None
