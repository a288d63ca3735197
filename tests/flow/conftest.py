"""A browser for the pages that a run writes, and no user's modules of an earlier test."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window, which draws WebGL in software."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    driver_path, binary = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver_path and binary):
        pytest.skip("needs chromium and chromedriver on PATH")
    options = selenium.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
                     "--use-angle=swiftshader", "--enable-unsafe-swiftshader"):  # fmt: skip
        options.add_argument(argument)
    folder = str(tmp_path_factory.mktemp("downloads"))
    options.add_experimental_option("prefs", {"download.default_directory": folder})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(driver_path))
    driver.set_script_timeout(60)
    driver.downloads = Path(folder)
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def _forgets_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands run in this process, and many tests have a ``my_model`` of their own."""
    yield
    written = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(written):
            del sys.modules[name]
