"""The notebook, run from its first cell to its last in a folder of its own."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent.parent / "examples/from_brevitas_to_rtl.ipynb"


def test_notebook_ends_in_rtl_that_equals_brevitas(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    shown = "".join(each["text"] for each in outputs if each.get("name") == "stdout")
    assert "exact: True" in shown
    for pair in ("Brevitas and integers", "QONNX and integers", "RTL and Brevitas"):
        assert f"{pair} equal: True" in shown
    assert "2-out-of-4" in str(outputs)
    assert any("image/png" in each.get("data", {}) for each in outputs)


def test_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)
