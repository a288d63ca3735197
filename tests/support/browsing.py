"""Pages in a browser."""

import json
from pathlib import Path
from typing import Any

from systolith.report import write_tuning_page


def open_page(browser: Any, study: dict[str, Any], folder: Path) -> str:
    """Write the page of a study and open it; returns its address."""
    write_tuning_page(study, folder / "page.html")
    open_file(browser, folder / "page.html")
    return str(browser.current_url)


def open_file(browser: Any, path: Path) -> None:
    """Open a page from disk, in a window of the usual size."""
    browser.set_window_size(1280, 1000)
    browser.get_log("performance")
    browser.get(path.as_uri())


def overflow_at(browser: Any, width: int) -> int:
    """Pixels by which the open page is wider than a screen of some width."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    overflow = browser.execute_script(
        "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return int(overflow)


def errors_in(browser: Any) -> list[str]:
    log = browser.get_log("browser")
    return [entry["message"] for entry in log if entry["level"] == "SEVERE"]


def requested_by(browser: Any) -> set[str]:
    """Schemes of all that the browser asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        message["params"]["request"]["url"].partition(":")[0]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
