"""The page of a study: one HTML file with plots to pick points from."""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from systolith.foundation import replacing

__all__ = ["write_tuning_page"]

WEB = Path(__file__).with_name("web")
STYLES = ("colours.css", "page.css")
SCRIPTS = ("values", "theme", "pareto", "parallel", "summaries", "selected", "front", "page")
"""Concatenated in this order."""


def write_tuning_page(study: Mapping[str, Any], path: Path) -> None:
    """Write a study as one HTML file that fetches nothing.

    Parameters
    ----------
    study : mapping
        JSON values; unknown ones are None.

        ``name``; ``seconds``, wall-clock; ``evaluations``; ``hypervolume``, 0..1; ``states``, the
        number of points by state.

        ``objectives``: each with ``name``, ``label``, ``unit``, ``direction`` ("maximize" or
        "minimize") and ``limit``. Values and limits in the unit "%" are shares, 0..1.

        ``choices``: each with ``name`` and its ``options``.

        ``points``: each with ``number``, ``state``, ``front``, ``feasible``, ``origin`` ("search",
        "uniform" or "dense"), ``epochs``, ``seed``, ``values`` by objective, ``choices`` by name,
        ``layers`` and ``commands`` that build it. A layer has ``layer``, ``pattern``,
        ``weight_bits``, ``act_bits``, ``array``, ``multipliers``, ``cycles``, ``utilization``
        (0..1), ``luts``, ``dsps`` and ``block_rams``.

        ``importance``: by objective and choice, 0..1. ``sensitivity``: each with ``group``,
        ``option`` and ``change`` of accuracy, -1..1. ``history``: each with ``evaluations`` and
        ``hypervolume``.
    path : Path
        The page.

    Raises
    ------
    ValueError
        If a number is not finite, which JSON cannot express.
    """
    from plotly.offline import get_plotlyjs  # other results do without

    page = Template((WEB / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"{study['name']}: co-tuning"),
        style="".join((WEB / name).read_text(encoding="utf-8") for name in STYLES),
        study=_embedded(study),
        plotly=get_plotlyjs(),
        script="\n".join((WEB / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _embedded(study: Mapping[str, Any]) -> str:
    """Write JSON for a script element: no ``<`` can end the element or open a comment."""
    text = json.dumps(study, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
