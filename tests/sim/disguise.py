"""Designs of one network that say they are of another."""

from dataclasses import replace
from pathlib import Path

from systolith.emit import Design, load_design, write_design
from systolith.network import IntegerNetwork, content_hash
from systolith.plan import NetworkPlan

__all__ = ["disguised"]


def disguised(broken: IntegerNetwork, plan: NetworkPlan, folder: Path) -> Design:
    """Emit another network, as if it were that of the plan."""
    write_design(replace(plan, network=broken), folder)
    description = folder / "design.json"
    wanted = content_hash(plan.network)
    description.write_text(description.read_text().replace(content_hash(broken), wanted))
    return load_design(description)
