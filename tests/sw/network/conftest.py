"""How long Hypothesis may take: networks are slow to draw."""

from hypothesis import HealthCheck, settings

# Machines differ in speed by more than any deadline.
settings.register_profile(
    "network", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("network")
