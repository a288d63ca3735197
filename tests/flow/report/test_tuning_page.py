"""The page of a study, as text and in a browser."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from systolith.report import write_tuning_page
from tests.support.browsing import errors_in, open_page, requested_by
from tests.support.tuning_study import tuning_study

HOSTILE = (
    "</script><script>window.hacked = 1</script><!--<script><img src=x onerror='hacked=1'>&lt;"
)


class Scripts(HTMLParser):
    """What stands in the script elements of a page, and what its elements point to."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.targets: list[str | None] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append(dict(attrs) | {"text": ""})
        self.targets += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[-1]["text"] = (self.scripts[-1]["text"] or "") + data


def _parsed(path: Path) -> Scripts:
    parser = Scripts()
    parser.feed(path.read_text(encoding="utf-8").replace(get_plotlyjs(), "PLOTLY"))
    return parser


def _hostile_study() -> dict[str, Any]:
    """All names are markup that would do harm if it were read as such."""
    study = tuning_study(complete=12, screened=3)
    study["name"] = HOSTILE
    renamed = {choice["name"]: HOSTILE + choice["name"] for choice in study["choices"]}
    study["choices"] = [
        {"name": renamed[choice["name"]], "options": [f"{HOSTILE}{o}" for o in choice["options"]]}
        for choice in study["choices"]
    ]
    for objective in study["objectives"]:
        objective.update(label=HOSTILE, unit=objective["unit"] and HOSTILE)
    for point in study["points"]:
        point["choices"] = {renamed[k]: f"{HOSTILE}{v}" for k, v in point["choices"].items()}
        point["commands"] = [HOSTILE]
        for layer in point["layers"]:
            layer.update(layer=HOSTILE, pattern=HOSTILE, array=HOSTILE)
    for cell in study["sensitivity"]:
        cell.update(group=HOSTILE + cell["group"], option=HOSTILE + cell["option"])
    study["importance"] = {
        name: {renamed[k]: v for k, v in shares.items()}
        for name, shares in study["importance"].items()
    }
    return study


def _barely_begun() -> dict[str, Any]:
    """Nothing is known but what is searched for; one point failed, one was screened out."""
    nothing = dict.fromkeys(("seconds", "evaluations", "hypervolume"))
    study = tuning_study(complete=0, screened=2) | nothing
    study["points"][0].update(state="failed", values=None, choices=None, layers=None, commands=None)
    return study | {"states": {}, "importance": {}, "sensitivity": [], "history": []}


def _without_values() -> dict[str, Any]:
    """Everything that may be missing is, but the points."""
    study = tuning_study(complete=30, screened=5)
    for point in study["points"]:
        point.update(epochs=None, seed=None, commands=[])
        point["choices"] |= {"conv2 pattern": None}
        for layer in point["layers"]:
            layer |= dict.fromkeys(("array", "luts", "utilization"))
    return study | {"importance": {"accuracy": {}}, "history": None, "sensitivity": None}


STUDIES: dict[str, Callable[[], dict[str, Any]]] = {
    "one objective": lambda: tuning_study(objectives=1, complete=20),
    "two objectives": lambda: tuning_study(objectives=2, complete=1, screened=0),
    "seven objectives, many points": lambda: tuning_study(7, complete=1400, screened=600),
    "hostile names": _hostile_study,
    "barely begun": _barely_begun,
    "values missing": _without_values,
}


# As text


def test_study_is_embedded_as_it_is(tmp_path: Path) -> None:
    study = _hostile_study()
    write_tuning_page(study, tmp_path / "new" / "page.html")
    parsed = _parsed(tmp_path / "new" / "page.html")
    data, plotly, script = parsed.scripts
    assert data["type"] == "application/json"
    assert json.loads(data["text"] or "") == study
    assert plotly["text"] == "PLOTLY"
    assert "hacked" not in (script["text"] or "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]


def test_page_points_nowhere(tmp_path: Path) -> None:
    write_tuning_page(tuning_study(), tmp_path / "page.html")
    assert _parsed(tmp_path / "page.html").targets == ["data:,"]
    text = (tmp_path / "page.html").read_text(encoding="utf-8").replace(get_plotlyjs(), "")
    assert not [word for word in ("http:", "https:", "@import", "url(") if word in text]


def test_name_is_escaped_in_the_title(tmp_path: Path) -> None:
    write_tuning_page(tuning_study() | {"name": "a <b> & c"}, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<title>a &lt;b&gt; &amp; c: co-tuning</title>" in text


def test_numbers_must_be_finite_and_the_old_page_stays(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="^Out of range float values are not JSON compliant"):
        write_tuning_page(tuning_study() | {"hypervolume": float("nan")}, path)
    assert path.read_text() == "old"


# In a browser


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if "many" in name else ()) for name in STUDIES],
)
def test_every_study_opens_without_errors_and_asks_for_nothing(
    name: str, browser: Any, tmp_path: Path
) -> None:
    study = STUDIES[name]()
    open_page(browser, study, tmp_path)
    assert errors_in(browser) == []
    browser.execute_script("""
        document.querySelectorAll('input').forEach((box) => box.click());
        document.querySelectorAll('select').forEach((list) => {
          list.selectedIndex = list.length - 1;
          list.dispatchEvent(new Event('change'));
        });
    """)
    assert errors_in(browser) == [], "with all boxes ticked and other axes"
    assert "file" in (requested := requested_by(browser))
    assert requested <= {"file", "data", "blob"}
    assert browser.execute_script("return window.hacked") is None
    assert (
        browser.execute_script("return document.getElementById('name').textContent")
        == (study["name"])
    )
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    for width in (1280, 800):
        browser.set_window_size(width, 1000)
        inner, needed = browser.execute_script(
            "return [innerWidth, document.documentElement.scrollWidth]"
        )
        assert needed <= inner, "the page itself never scrolls sideways"


def test_hostile_names_are_shown_as_they_are(browser: Any, tmp_path: Path) -> None:
    study = _hostile_study()
    open_page(browser, study, tmp_path)
    for place in (
        "#commands code",
        "#layer-table tbody th",
        "#axis-x option",
        "#selected tbody th",
    ):
        shown = browser.execute_script(
            f"return document.querySelector('{place}').textContent.trim()"
        )
        assert shown == HOSTILE, place
    titles = browser.execute_script(
        "return ['#pareto .ytitle', '#sensitivity .yaxislayer-above text']"
        ".map(place => document.querySelector(place).textContent)"
    )
    assert titles[0] == f"{HOSTILE} ({HOSTILE})"
    assert titles[1] == study["sensitivity"][0]["group"]
