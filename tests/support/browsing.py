"""A page of a study in a browser."""

import json
from pathlib import Path
from typing import Any

from systolith.report import write_tuning_page


def open_page(browser: Any, study: dict[str, Any], folder: Path) -> str:
    """Write the page of a study and open it; returns its address."""
    write_tuning_page(study, folder / "page.html")
    browser.set_window_size(1280, 1000)
    browser.get_log("performance")
    browser.get((folder / "page.html").as_uri())
    return str(browser.current_url)


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
