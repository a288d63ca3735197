"""Makes ``tests.sw.network.strategies`` importable, however pytest was started."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = str(Path(__file__).parents[3])
if ROOT not in sys.path:
    sys.path.append(ROOT)

# Machines differ in speed by more than any deadline, and networks are slow to draw.
settings.register_profile(
    "network", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("network")
