"""How long Hypothesis may take, as networks are slow to draw; and a stored network."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from systolith.network import save
from tests.support.stored import every_kind

# Machines differ in speed by more than any deadline.
settings.register_profile(
    "network", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("network")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.json"


@pytest.fixture
def saved(path: Path) -> Path:
    save(every_kind(), path)
    return path
