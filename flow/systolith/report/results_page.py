"""The results page of a run: one HTML file that fetches nothing."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from systolith.foundation import replacing
from systolith.report.hardware_sections import render_engines, render_resources, render_timing
from systolith.report.markup import Bar, bars, facts, figure, number, section, tile
from systolith.report.report import Report
from systolith.report.tables import ACCURACIES, METRICS, describe_images
from systolith.report.words import count_of

__all__ = ["write_results_page"]

WEB = Path(__file__).with_name("web")
STYLES = ("colours.css", "results.css")
PICTURES = "pictures"
"""Folder of the pruning pictures, within the folder of the stage."""
TITLES = {"odds": "Masks over training"}
"""Titles of pictures that show no layer."""


def write_results_page(report: Report, folder: Path) -> Path:
    """Write ``report.html`` into the folder of a run.

    The page has a section for each stage that ran. It embeds the pictures that the report names.

    Parameters
    ----------
    report : Report
    folder : Path
        The folder of the run.

    Returns
    -------
    Path
        The page.
    """
    sections = {
        "Accuracy": _accuracy(report),
        "Metrics": _metrics(report),
        "Pruning": _pruning(report, folder),
        "Engines": render_engines(report),
        "Resources": render_resources(report),
        "Timing": render_timing(report, folder),
        "Verification": _verification(report),
        "Stages": _stages(report),
        "Repeat": _repeat(report),
    }
    links = (f'<a href="#{title.lower()}">{title}</a>' for title, part in sections.items() if part)
    body = "\n".join(
        [
            f'<header><div class="title"><h1>{escape(report.name)}</h1>{_badges(report)}</div>',
            f"<nav>{''.join(links)}</nav></header>",
            f'<dl class="tiles">{"".join(_tiles(report))}</dl>',
            f"<main>{''.join(sections.values())}</main>",
        ]
    )
    page = Template((WEB / "results.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"{report.name}: results"),
        style="".join((WEB / name).read_text(encoding="utf-8") for name in STYLES),
        body=body,
    )
    path = folder / "report.html"
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _badges(report: Report) -> str:
    """State whether the results are equal, and whether the clock is reached."""
    badges = []
    if report.verified is False:
        badges.append(("wrong", "not equal to the reference"))
    elif report.verified and report.simulated:
        badges.append(("good", "bit-for-bit equal"))
    elif report.verified:
        badges.append(("open", "arithmetic only, no RTL has run"))
    else:
        badges.append(("open", "not verified"))
    if report.build is not None and report.build.timing_met is not None:
        met = report.build.timing_met
        badges.append(("good", "clock reached") if met else ("wrong", "clock too slow"))
    return "".join(f'<span class="badge {kind}">{text}</span>' for kind, text in badges)


def _tiles(report: Report) -> Iterator[str]:
    """Summarize the run in at most six numbers."""
    shares = report.accuracy.shares
    if (
        state := next((state for state in reversed(ACCURACIES) if state in shares), None)
    ) is not None:
        note = f"{ACCURACIES[state]}, {describe_images(report, state)}"
        yield tile("Accuracy", number(shares[state], f"{shares[state]:.2%}"), note)
    elif report.metrics:
        metric, states = next(iter(report.metrics.items()))
        state, (name, digits) = list(states)[-1], METRICS[metric]
        value = number(states[state], format(states[state], digits))
        yield tile(name.capitalize(), value, ACCURACIES[state])
    if report.sparsity:
        kept, total = (sum(getattr(row, of) for row in report.sparsity) for of in ("kept", "total"))
        note = f"{kept:,} of {total:,}"
        yield tile("Weights kept", number(kept / total, f"{kept / total:.0%}"), note)
    if (result := report.performance) is not None:
        placed = report.build.placed if report.build is not None else None
        rate, note = result.frames_per_second, f"at {result.clock_mhz or 0:g} MHz"
        if placed is not None:
            rate, note = placed.frames_per_second, f"at {placed.fmax_mhz_best:.1f} MHz, placed"
        elif rate is None and result.fmax_mhz_estimated:
            rate = result.fmax_mhz_estimated * 1e6 / result.cycles_per_frame
            note = f"at {result.fmax_mhz_estimated:.0f} MHz, estimated"
        if rate is not None:
            yield tile("Frames/s", number(rate, f"{rate:,.0f}"), note)
        cycles = result.latency_cycles
        clock = placed.fmax_mhz_best if placed else result.clock_mhz or result.fmax_mhz_estimated
        note = "cycles" if clock is None else f"cycles: {cycles / clock:,.1f} µs at {clock:.1f} MHz"
        yield tile("Latency", number(cycles, f"{cycles:,}"), note)
        note = f"of {count_of(result.multipliers, 'multiplier')}"
        yield tile("Utilization", number(result.utilization, f"{result.utilization:.1%}"), note)
    if report.build is not None and report.build.resources:
        uses = [use for use in report.build.resources if use.available]
        most = max(uses, key=lambda use: use.used / use.available)
        share = most.used / most.available
        yield tile("Device", number(share, f"{share:.0%}"), f"{most.name} of {report.build.target}")


def _accuracy(report: Report) -> str:
    shares = report.accuracy.shares
    rows: list[Bar] = []
    for state, label in ACCURACIES.items():
        if (share := shares.get(state)) is not None:
            value = number(share, f"{share:.2%}")
            if rows and "float" in shares:
                value += f" <small>{100 * (share - shares['float']):+.2f} points</small>"
            note = describe_images(report, state)
            rows.append(Bar(label=label, note=note, share=share, value=value))
    return section("accuracy", "Accuracy", bars(rows)) if rows else ""


def _metrics(report: Report) -> str:
    rows = [
        Bar(
            label=METRICS[metric][0],
            note=ACCURACIES[state],
            share=None if metric.endswith("error") else value,
            value=number(value, format(value, METRICS[metric][1])),
        )
        for metric, states in report.metrics.items()
        for state, value in states.items()
    ]
    return section("metrics", "Metrics", bars(rows)) if rows else ""


def _pruning(report: Report, folder: Path) -> str:
    if not report.sparsity:
        return ""
    rows = [
        Bar(
            label=row.name,
            note=row.pattern,
            share=row.kept / row.total,
            value=f"{number(row.kept, f'{row.kept:,}')} of {number(row.total, f'{row.total:,}')}",
        )
        for row in report.sparsity
    ]
    pictures = []
    if "prune" in report.files:
        files = (folder / report.files["prune"] / PICTURES).glob("*.png")
        order = ["overview", *(row.name for row in report.sparsity)]
        ranks = {name: rank for rank, name in enumerate(order)}
        ordered = sorted(files, key=lambda file: (ranks.get(file.stem, len(ranks)), file.stem))
        pictures = [
            figure(file, TITLES.get(file.stem, f"Weights kept: {file.stem}")) for file in ordered
        ]
    shown = f'<div class="pictures">{"".join(pictures)}</div>' if pictures else ""
    return section("pruning", "Weights kept", bars(rows), _multiplications(report), shown)


def _multiplications(report: Report) -> str:
    if (result := report.performance) is None:
        return ""
    kept, before = result.macs_kept, result.macs_before
    text = f"{number(kept, f'{kept:,}')} of {number(before, f'{before:,}')}"
    return f"<p>Multiplications per frame: {text} ({kept / before:.0%}).</p>"


def _verification(report: Report) -> str:
    result = report.verification
    if not result.checks:
        return ""
    lines = []
    for check in result.checks:
        findings = "".join(f"<li>{escape(finding)}</li>" for finding in check.findings)
        listed = f'<ul class="findings">{findings}</ul>' if findings else ""
        verdict = "equal" if check.passed else "NOT EQUAL"
        lines.append(
            f'<li class="{"passed" if check.passed else "failed"}"><div>'
            f"<p><strong>{escape(check.name)}</strong>: {verdict}</p>"
            f'<p class="muted">{escape(check.what)}</p>{listed}</div></li>'
        )
    rows = []
    if result.images is not None:
        rows.append(("images", number(result.images, f"{result.images:,}")))
    if result.mismatches is not None:
        rows.append(("mismatches", number(result.mismatches, f"{result.mismatches:,}")))
    if result.cycles_predicted is not None and result.cycles_simulated is not None:
        predicted, simulated = result.cycles_predicted, result.cycles_simulated
        verdict = "equal" if predicted == simulated else "DIFFERENT"
        rows.append(("cycles predicted", number(predicted, f"{predicted:,}")))
        rows.append(("cycles simulated", f"{number(simulated, f'{simulated:,}')} ({verdict})"))
    if result.images_per_second is not None:
        speed = result.images_per_second
        rows.append(("images simulated per second", number(speed, f"{speed:,.1f}")))
    checks = f'<ul class="checks">{"".join(lines)}</ul>'
    return section("verification", "Verification", checks, facts(rows) if rows else "")


def _stages(report: Report) -> str:
    if not report.stages:
        return ""
    longest = max(stage.seconds for stage in report.stages) or 1.0
    rows = [
        Bar(
            label=stage.name,
            note="; ".join(["cached"] * stage.cached + [*stage.reasons]),
            share=stage.seconds / longest,
            value=number(stage.seconds, f"{stage.seconds:,.1f} s"),
            kind="cached" if stage.cached else "",
        )
        for stage in report.stages
    ]
    worked = sum(stage.seconds for stage in report.stages if not stage.cached)
    cached = ", without cached stages" * any(stage.cached for stage in report.stages)
    total = f"<p>{number(worked, f'{worked:,.1f} s')} in this run{cached}.</p>"
    return section("stages", "Stage times", bars(rows), total)


def _repeat(report: Report) -> str:
    parts = [f"<pre>{escape(report.command)}</pre>"] if report.command else []
    rows = [("seed", number(report.seed, str(report.seed))), ("machine", escape(report.machine))]
    if report.design is not None:
        rows.append(("network hash", f"<code>{escape(report.design.network_hash)}</code>"))
        rows.append(("circuit hash", f"<code>{escape(report.design.circuit_hash)}</code>"))
    versions = {"systolith": report.systolith, **report.versions}
    rows.append(("versions", escape(", ".join(f"{name} {v}" for name, v in versions.items()))))
    files = {"report": "report.json", **report.files}
    links = (f'<a href="{quote(file)}">{escape(file)}</a>' for file in files.values())
    rows.append(("files", ", ".join(links)))
    return section("repeat", "Repeat this run", *parts, facts(rows))
