"""What verification and simulation found, as the report tells it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from systolith.network import IntArray, IntegerNetwork
from systolith.report import count_of
from systolith.stages.isolate import additions
from systolith.stages.proving import Bulk
from systolith.verify import Verification

__all__ = ["proof_of", "proof_of_bulk"]


def proof_of(
    whole: Mapping[str, Verification],
    alone: Mapping[str, Verification],
    network: IntegerNetwork,
) -> dict[str, Any]:
    """Tell of a verification: its checks, and how many values were wrong.

    Parameters
    ----------
    whole : mapping of str to Verification
        Of the whole network, by its name.
    alone : mapping of str to Verification
        Of single layers, by name; empty if none was verified alone.
    network : IntegerNetwork
    """
    checks = [_check("whole network", whole)]
    if alone:
        checks.append(_check("each layer alone", alone))
        checks[-1]["what"] += _not_alone(network)
    return {"checks": checks, "mismatches": sum(len(check["findings"]) for check in checks)}


def proof_of_bulk(bulk: Bulk, labels: IntArray | None, known: int | None) -> dict[str, Any]:
    """Tell of a bulk simulation: counts, its check, and the accuracy if labels are known.

    Parameters
    ----------
    bulk : Bulk
    labels : array of int, shape (N,), or None
        Of the images that were simulated.
    known : int or None
        Images that there are; None if they are random.
    """
    labelled = labels is not None and bulk.classes is not None
    name, images = _simulated(bulk.images, known)
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


def _simulated(images: int, known: int | None) -> tuple[str, str]:
    """Name the check of so many images, and the images."""
    if known is None:
        return "random images", count_of(images, "random image")
    if images < known:
        return "some images", f"the first {images:,} of {count_of(known, 'image')}"
    return "every image", count_of(images, "image")


def _check(name: str, found: Mapping[str, Verification]) -> dict[str, Any]:
    """One line of the report's list of checks, for one design or several."""
    results = list(found.values())
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


def _not_alone(network: IntegerNetwork) -> str:
    """Say which layers were not verified alone."""
    if not (names := additions(network)):
        return ""
    verb = "has" if len(names) == 1 else "have"
    return f"; {', '.join(names)} {verb} two inputs: in the whole network only"
