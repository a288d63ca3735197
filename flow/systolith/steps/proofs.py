"""What verification and simulation found, as the report tells it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from systolith.network import IntArray, IntegerNetwork
from systolith.steps.isolate import additions
from systolith.steps.proving import Bulk
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


def proof_of_bulk(bulk: Bulk, labels: IntArray | None) -> dict[str, Any]:
    """Tell of a bulk simulation: counts, its check, and the accuracy if `labels` (N,) are known."""
    known = labels is not None and bulk.classes is not None
    return {
        "accuracy": float(np.mean(bulk.classes == labels)) if known else None,
        "images": bulk.images,
        "mismatches": bulk.mismatches,
        "cycles_predicted": bulk.cycles_predicted,
        "cycles_simulated": bulk.cycles_simulated,
        "images_per_second": bulk.images / bulk.seconds,
        "checks": [
            {
                "name": "every image",
                "what": f"all outputs of {bulk.images} images",
                "passed": bulk.passed,
                "findings": bulk.findings,
            }
        ],
    }


def _check(name: str, found: Mapping[str, Verification]) -> dict[str, Any]:
    """One line of the report's list of checks, for one design or several."""
    results = list(found.values())
    streams = sum(len(result.layers) for result in results)
    patterns = max(len(result.patterns) for result in results)
    cycles = sum(result.cycles for result in results)
    return {
        "name": name,
        "what": f"{streams} streams under {patterns} stall patterns, "
        f"{results[0].images} images, {cycles:,} cycles",
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
