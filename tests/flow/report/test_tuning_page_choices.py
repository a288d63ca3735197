"""Choosing on the page of a study: points, axes, order of the table; what is copied and saved."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.browsing import errors_in, open_page
from tests.support.tuning_study import tuning_study


def test_fields_of_the_csv_file_are_quoted(browser: Any, tmp_path: Path) -> None:
    study = tuning_study(complete=5, screened=0)
    study["choices"].append({"name": 'said "a, b"', "options": ["x\ny"]})
    for point in study["points"]:
        point["choices"]['said "a, b"'] = "x\ny"
    open_page(browser, study, tmp_path)
    text = browser.execute_script("return frontAsCsv()")
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert {row['said "a, b"'] for row in rows} == {"x\ny"}


STUDY = tuning_study()
COMPLETE = [point for point in STUDY["points"] if point["state"] == "complete"]
FRONT = [point for point in COMPLETE if point["front"]]


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page of the study is, opened once for all tests here."""
    return open_page(browser, STUDY, tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page of the study; whatever a test does on it must leave no error behind."""
    if browser.current_url != address:
        browser.get(address)
    browser.execute_script("select(front[0])")
    yield browser
    assert errors_in(browser) == []


def _run(page: Any, script: str) -> Any:
    return page.execute_script(f"return {script}")


def _settled(page: Any) -> None:
    """Wait until what a selection put off is drawn."""
    page.execute_async_script("setTimeout(arguments[0], 0)")


def _selected(page: Any) -> dict[str, Any]:
    """Which point each part of the page shows as selected."""
    _settled(page)
    return {
        "title": _run(page, "document.getElementById('selected-title').textContent"),
        "commands": _run(page, "document.getElementById('commands').innerText.split('\\n')"),
        "ring": _run(page, "(({x, y}) => [x[0], y[0]])"
                           "(document.getElementById('pareto').data.at(-1))"),
        "row": _run(page, "[...document.querySelectorAll('#front tr[aria-selected=true]')]"
                          ".map(row => Number(row.dataset.number))"),
        "line": _run(page, "(({line, dimensions}) => dimensions[0].values[line.color.indexOf(2)])"
                           "(document.getElementById('parallel').data[0])"),
        "layers": _run(page, "[...document.querySelectorAll('#layer-table tbody tr')]"
                             ".map(row => row.cells[6].textContent)"),
    }  # fmt: skip


def _expected(point: dict[str, Any]) -> dict[str, Any]:
    values = point["values"]
    return {
        "title": f"Point {point['number']}",
        "commands": point["commands"],
        "ring": [values["fps"], 100 * values["accuracy"]],
        "row": [point["number"]] if point["front"] else [],
        "line": 100 * values["accuracy"],
        "layers": [f"{layer['cycles']:,}" for layer in point["layers"]],
    }


def _alone(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The point that is farthest from its next neighbour in the scatter plot."""
    places = np.array([[point["values"]["fps"], point["values"]["accuracy"]] for point in COMPLETE])
    places = (places - places.min(axis=0)) / np.ptp(places, axis=0)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(apart, np.inf)
    near = {point["number"]: gap for point, gap in zip(COMPLETE, apart.min(axis=0), strict=True)}
    return max(points, key=lambda point: near[point["number"]])


def _click_at(page: Any, x: float, y: float) -> None:
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    mouse = ActionBuilder(page, duration=50)
    mouse.pointer_action.move_to_location(int(x) - 3, int(y))
    mouse.pointer_action.move_to_location(int(x), int(y)).pause(0.3).click()
    mouse.perform()


def test_all_plots_are_drawn(page: Any) -> None:
    _settled(page)
    marks = "document.querySelectorAll('#pareto .trace path.point').length"
    assert _run(page, marks) == len(COMPLETE) + 1  # and the ring
    painted = """(() => {
        const canvases = [...document.querySelectorAll('#parallel canvas')];
        const copy = document.createElement('canvas');
        return canvases.map((canvas) => {
          [copy.width, copy.height] = [canvas.width, canvas.height];
          const context = copy.getContext('2d');
          context.drawImage(canvas, 0, 0);
          const image = context.getImageData(0, 0, copy.width, copy.height);
          return new Set(new Uint32Array(image.data.buffer)).size;
        });
    })()"""
    assert max(_run(page, painted)) > 10, "lines of several colours"
    axes = "document.querySelectorAll('#parallel .y-axis').length"
    assert _run(page, axes) == len(STUDY["objectives"]) + len(STUDY["choices"]) - 1  # one clock
    bars = "document.querySelectorAll('#importance .bars .point').length"
    assert _run(page, bars) == len(STUDY["objectives"]) * len(STUDY["choices"])
    assert _run(page, "document.querySelectorAll('#sensitivity .hm image').length") == 1
    cells = "[...document.querySelectorAll('#sensitivity .heatmap-label')].length"
    assert _run(page, cells) == len(STUDY["sensitivity"])
    steps = "document.querySelectorAll('#history .trace path.point').length"
    assert _run(page, steps) == len(STUDY["history"])


def test_headline_says_how_far_the_study_is(page: Any) -> None:
    headline = "[...document.querySelectorAll('#headline div')]"
    facts = _run(page, f"{headline}.map(fact => [...fact.children].map(part => part.textContent))")
    assert {name: text.replace("\xa0", " ") for name, text in facts} == {
        "on the front": str(len(FRONT)),
        "complete": "150",
        "screened": "250",
        "infeasible": "88",
        "failed": "1",
        "evaluations": "150",
        "hypervolume": "0.713",
        "wall-clock": "20 min 3 s",
    }


@pytest.mark.parametrize("front", [True, False], ids=["front", "dominated"])
def test_click_on_a_mark_selects_its_point(front: bool, page: Any) -> None:
    point = _alone([point for point in COMPLETE if point["front"] is front and point["feasible"]])
    x, y = _run(page, f"""(() => {{
        const plot = document.getElementById('pareto');
        plot.scrollIntoView({{block: 'center'}});
        const index = study.points.findIndex((point) => point.number === {point["number"]});
        const drawn = plot.data.filter((trace) => trace.x.length);
        const trace = drawn.findIndex((trace) => trace.customdata?.includes(index));
        const mark = plot.querySelectorAll('.scatterlayer .trace')[trace]
          .querySelectorAll('path.point')[drawn[trace].customdata.indexOf(index)];
        const box = mark.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    }})()""")  # fmt: skip
    assert _selected(page) != _expected(point)
    _click_at(page, x, y)
    assert _selected(page) == _expected(point)


def test_click_on_a_line_selects_its_point(page: Any) -> None:
    """Half way between the first two axes, at the line that has most room."""
    first, second = (np.array([point["values"][name] for point in COMPLETE])
                     for name in ("accuracy", "fps"))  # fmt: skip
    heights = sum((values - values.min()) / np.ptp(values) for values in (first, second)) / 2
    apart = np.abs(heights[:, None] - heights)
    np.fill_diagonal(apart, np.inf)
    chosen = int(apart.min(axis=0).argmax())
    x, top, height = _run(page, """(() => {
        document.getElementById('parallel').scrollIntoView({block: 'center'});
        const [a, b] = [...document.querySelectorAll('#parallel .y-axis .axis .domain')]
          .map((line) => line.getBoundingClientRect());
        return [(a.right + b.right) / 2, a.top, a.height];
    })()""")  # fmt: skip
    _click_at(page, x, top + height * (1 - heights[chosen]))
    assert _selected(page) == _expected(COMPLETE[chosen])


def test_lines_of_the_front_alone_are_drawn_on_request(page: Any) -> None:
    accuracies = "document.getElementById('parallel').data[0].dimensions[0].values"
    box = page.find_element("id", "front-only")
    box.click()
    drawn = _run(page, accuracies)
    box.click()
    expected = sorted((100 * point["values"]["accuracy"] for point in FRONT), reverse=True)
    assert drawn[: len(FRONT)] == expected
    assert _run(page, f"{accuracies}.length") > len(COMPLETE) >= len(drawn)


def test_lines_that_were_brushed_away_are_told_from_the_others(page: Any) -> None:
    """As Plotly stores what was dragged on an axis: nothing, one range, or several."""
    ranges: dict[str, list[bool]] = {
        "undefined": [False, False, False],
        "[1, 2]": [True, False, True],
        "[[0, 1], [3, 4]]": [False, True, False],
    }
    for drawn, away in ranges.items():
        axis = f"{{constraintrange: {drawn}, values: [0, 1.5, 3]}}"
        assert _run(page, f"[0, 1, 2].map((line) => brushedAway({axis}, line))") == away


def test_click_on_a_row_selects_its_point(page: Any) -> None:
    point = FRONT[7]
    row = page.find_element("css selector", f"#front tr[data-number='{point['number']}']")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", row)
    row.click()
    assert _selected(page) == _expected(point)


@pytest.mark.parametrize("key", ["ENTER", "SPACE"])
def test_rows_are_reached_and_selected_by_keys(key: str, page: Any) -> None:
    from selenium.webdriver import ActionChains, Keys

    order = _run(page, "[...document.querySelectorAll('#front tbody tr')]"
                       ".map(row => Number(row.dataset.number))")  # fmt: skip
    numbers = {point["number"]: point for point in FRONT}
    tabbed = page.find_elements("css selector", "#front tbody tr[tabindex='0']")
    assert [int(row.get_attribute("data-number")) for row in tabbed] == [FRONT[0]["number"]]
    page.execute_script("arguments[0].focus()", tabbed[0])
    keys = (Keys.HOME, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    ActionChains(page).send_keys(*keys, getattr(Keys, key)).perform()
    assert _selected(page) == _expected(numbers[order[2]])
    ActionChains(page).send_keys(Keys.END, getattr(Keys, key)).perform()
    assert _selected(page) == _expected(numbers[order[-1]])


def _choose(page: Any, place: str, text: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(page.find_element("id", place)).select_by_visible_text(text)


def test_drop_downs_change_axes_and_colour(page: Any) -> None:
    _choose(page, "axis-x", "LUTs")
    _choose(page, "axis-y", "frames per second")
    _choose(page, "axis-colour", "accuracy")
    try:
        assert _run(page, "document.querySelector('#pareto .xtitle').textContent") == "LUTs"
        title = _run(page, "document.querySelector('#pareto .ytitle').textContent")
        assert title == "frames per second (frames/s)"
        marks = "document.getElementById('pareto').data.filter(t => t.customdata && t.x.length)"
        traces = _run(page, f"{marks}.map(t => [t.customdata, t.x, t.y, t.marker.color])")
        drawn = {
            index: values
            for indices, *columns in traces
            for index, *values in zip(indices, *columns, strict=True)
        }
        assert drawn == {
            index: [values["luts"], values["fps"], 100 * values["accuracy"]]
            for index, values in enumerate(point["values"] for point in COMPLETE)
        }
    finally:
        _choose(page, "axis-x", "frames per second")
        _choose(page, "axis-y", "accuracy")
        _choose(page, "axis-colour", "kind of point")


def test_screened_out_points_are_shown_on_request(page: Any) -> None:
    _choose(page, "axis-y", "LUTs")  # their accuracy is not known
    count = "document.querySelectorAll('#pareto .trace path.point').length"
    assert _run(page, count) == len(COMPLETE) + 1
    box = page.find_element("id", "show-unfinished")
    box.click()
    assert _run(page, count) == len(STUDY["points"]) + 1
    _choose(page, "axis-y", "accuracy")
    assert _run(page, count) == len(COMPLETE) + 1
    box.click()


def test_line_joins_the_front_of_the_two_objectives_shown(page: Any) -> None:
    places = [(point["values"]["fps"], 100 * point["values"]["accuracy"]) for point in COMPLETE
              if point["feasible"]]  # fmt: skip
    best = [(x, y) for x, y in places
            if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in places)]  # fmt: skip
    x, y = _run(page, "(({x, y}) => [x, y])(document.getElementById('pareto').data[0])")
    assert list(zip(x, y, strict=True)) == sorted(best, reverse=True)


def test_limits_are_shaded_on_the_side_that_is_forbidden(page: Any) -> None:
    _choose(page, "axis-x", "LUTs")
    shapes = _run(page, "document.getElementById('pareto').layout.shapes")
    notes = _run(page, "document.getElementById('pareto').layout.annotations.map(n => n.text)")
    _choose(page, "axis-x", "frames per second")
    luts, accuracy = shapes
    assert luts["x0"] == 24288 < luts["x1"]
    assert accuracy["y0"] == pytest.approx(97.8) and accuracy["y1"] < accuracy["y0"]
    assert notes == ["LUTs ≤\xa024,288", "accuracy ≥\xa097.80\xa0%"]
    assert len(_run(page, "document.getElementById('pareto').layout.shapes")) == 1


def test_baselines_have_symbols_of_their_own(page: Any) -> None:
    symbols = _run(page, "Object.fromEntries(document.getElementById('pareto').data"
                         ".filter(t => t.x.length && t.customdata)"
                         ".map(t => [t.name, t.marker.symbol[0]]))")  # fmt: skip
    assert symbols == {
        "outside a limit": "circle-open",
        "dominated": "circle",
        "front": "circle",
        "uniform patterns": "square",
        "dense design": "diamond",
    }


def test_table_sorts_by_any_column_both_ways(page: Any) -> None:
    heads = page.find_elements("css selector", "#front thead button")
    luts = 1 + [objective["name"] for objective in STUDY["objectives"]].index("luts")
    order = (
        "[...document.querySelectorAll('#front tbody tr')].map(row => Number(row.dataset.number))"
    )
    sort = "[...document.querySelectorAll('#front th')].map(head => head.ariaSort)"
    ascending = sorted(FRONT, key=lambda point: (point["values"]["luts"], point["number"]))
    heads[luts].click()
    assert _run(page, order) == [point["number"] for point in ascending]
    assert _run(page, sort)[luts] == "ascending" and set(_run(page, sort)) == {"ascending", "none"}
    heads[luts].click()
    descending = sorted(FRONT, key=lambda point: (-point["values"]["luts"], point["number"]))
    assert _run(page, order) == [point["number"] for point in descending]
    heads[1].click()
    assert _run(page, sort)[1] == "descending", "the best accuracy first"


def test_front_downloads_as_csv(page: Any) -> None:
    page.find_element("id", "download").click()
    file = page.downloads / "digits-on-a-25F-front.csv"
    for _ in range(100):
        if file.exists():
            break
        page.execute_async_script("setTimeout(arguments[0], 50)")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [{name: row[name] for name in ("number", "accuracy", "fps", "clock", "seed")}
            for row in rows] == [
        {"number": str(point["number"]), "accuracy": f"{point['values']['accuracy']:g}",
         "fps": row["fps"], "clock": "80 MHz", "seed": "0"}
        for point, row in zip(FRONT, rows, strict=True)
    ]  # fmt: skip
    assert [float(row["fps"]) for row in rows] == [point["values"]["fps"] for point in FRONT]
    assert list(rows[0])[4:-3] == [choice["name"] for choice in STUDY["choices"]]


def test_commands_are_copied(page: Any) -> None:
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.execute_cdp_cmd("Browser.grantPermissions", grant)
    button = page.find_element("id", "copy")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    copied = page.execute_async_script(
        "setTimeout(() => navigator.clipboard.readText().then(arguments[0]), 200)"
    )
    assert copied.split("\n") == FRONT[0]["commands"]
    assert _run(page, "document.querySelector('#selected [role=status]').textContent") == "Copied."


def test_colours_follow_the_preference_for_light_or_dark(page: Any) -> None:
    seen = {}
    for scheme in ("dark", "light"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        page.execute_async_script(  # the change event comes with the next frame
            "const done = arguments[0]; const next = requestAnimationFrame;"
            "next(() => next(() => setTimeout(done, 0)))"
        )
        seen[scheme] = _run(page, "['pareto', 'parallel', 'history'].map(id => "
                                  "document.getElementById(id).layout.paper_bgcolor)")  # fmt: skip
    assert seen == {"dark": ["#1a212b"] * 3, "light": ["#ffffff"] * 3}


def test_every_control_has_a_name(page: Any) -> None:
    unnamed = """[...document.querySelectorAll('button, select, input, [tabindex="0"]:not(tr)')]
        .filter((control) => !(control.labels?.length || control.ariaLabel ||
          control.getAttribute('aria-labelledby') ||
          (control.tagName === 'BUTTON' && control.textContent.trim())))
        .map((control) => control.outerHTML)"""
    assert _run(page, unnamed) == []
