"""How fast a design is, in words."""

from systolith.plan import NetworkPlan

__all__ = ["timing_words"]


def timing_words(plan: NetworkPlan) -> str:
    """Say latency and throughput."""
    latency, interval = plan.latency_cycles, plan.steady_interval
    return (
        f"Latency: {latency} cycles from the first transfer of a frame in to its last out. "
        f"Throughput: a frame every {interval} cycles, if nobody pauses "
        f"({100e6 / interval:,.1f} frames per second at 100 MHz)."
    )
