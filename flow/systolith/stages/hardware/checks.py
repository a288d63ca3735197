"""Summaries of verification and simulation for the report."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from systolith.network import IntArray, IntegerNetwork
from systolith.report import count_of
from systolith.stages.hardware.verification import BulkResult, list_additions
from systolith.verify import Verification

__all__ = ["summarize_bulk_simulation", "summarize_verification"]


def summarize_verification(
    whole: Mapping[str, Verification],
    layers: Mapping[str, Verification],
    network: IntegerNetwork,
) -> dict[str, Any]:
    """Return the checks of a verification, and the number of mismatches.

    Parameters
    ----------
    whole : mapping of str to Verification
        Result for the whole network, by its name.
    layers : mapping of str to Verification
        Results for single layers, by name; may be empty.
    network : IntegerNetwork
    """
    checks = [_check("whole network", whole)]
    if layers:
        checks.append(_check("each layer alone", layers))
        checks[-1]["what"] += _describe_exceptions(network)
    return {"checks": checks, "mismatches": sum(len(check["findings"]) for check in checks)}


def summarize_bulk_simulation(
    bulk: BulkResult, labels: IntArray | None, known: int | None
) -> dict[str, Any]:
    """Return counts, the check, and, if labels are known, the accuracy of a bulk simulation.

    Parameters
    ----------
    bulk : BulkResult
    labels : array of int, shape (N,), or None
        Labels of the simulated images.
    known : int or None
        Number of images that exist; None if the images are random.
    """
    labelled = labels is not None and bulk.classes is not None
    name, images = _describe_images(bulk.images, known)
    return {
        "accuracy": float(np.mean(bulk.classes == labels)) if labelled else None,
        "images": bulk.images,
        "mismatches": bulk.mismatches,
        "cycles_predicted": bulk.cycles_predicted,
        "cycles_simulated": bulk.cycles_simulated,
        "images_per_second": bulk.images / bulk.seconds,
        "checks": [
            {
                "name": name,
                "hardware": True,
                "what": f"all outputs of {images}",
                "passed": bulk.passed,
                "findings": bulk.findings,
            }
        ],
    }


def _describe_images(images: int, known: int | None) -> tuple[str, str]:
    """Name the check, and describe the images."""
    if known is None:
        return "random images", count_of(images, "random image")
    if images < known:
        return "some images", f"the first {images:,} of {count_of(known, 'image')}"
    return "every image", count_of(images, "image")


def _check(name: str, verifications: Mapping[str, Verification]) -> dict[str, Any]:
    """Make one check of the report from the results of one or several designs."""
    results = list(verifications.values())
    streams = sum(len(result.layers) for result in results)
    patterns = max(len(result.patterns) for result in results)
    cycles = sum(result.cycles for result in results)
    return {
        "name": name,
        "hardware": True,
        "what": f"{streams} streams under {patterns} stall patterns, "
        f"{count_of(results[0].images, 'image')}, {cycles:,} cycles",
        "passed": all(result.passed for result in results),
        "findings": [
            f"{finding} (stalls: {pattern.stalls}, seed {pattern.seed})"
            for result in results
            for pattern in result.patterns
            for finding in (*pattern.mismatches, *pattern.violations)
        ],
    }


def _describe_exceptions(network: IntegerNetwork) -> str:
    """Name the layers that were not verified alone."""
    if not (names := list_additions(network)):
        return ""
    verb = "has" if len(names) == 1 else "have"
    return f"; {', '.join(names)} {verb} two inputs: in the whole network only"
