"""What a run found, for people."""

from pathlib import Path

from rich.console import Console

from systolith.report import Report, report_view

__all__ = ["show"]


def show(report: Report, folder: Path, out: Console, err: Console, *, planning: bool) -> None:
    """Print a report, and on `err` what is wrong; if `planning`, with what engines take."""
    out.print(report_view(report, planning=planning))
    for check in report.verification.get("checks", []):
        for line in check["findings"]:
            err.print(f"[bold red]not equal:[/] {line}", highlight=False, soft_wrap=True)
    if report.build.get("timing_met") is False:
        found, wanted = report.build["fmax_mhz_best"], report.build["clock_mhz"]
        text = f"[bold red]too slow:[/] {found:.1f} MHz reached, {wanted:g} MHz wanted"
        err.print(f"{text}; no bitstream was made", highlight=False, soft_wrap=True)
    out.print(f"results: {folder}/report.json", highlight=False, soft_wrap=True)
