"""PyTorch in tests: one thread, and the same random numbers whichever tests ran before.

A second thread gains nothing on small tensors, and loses all when cores are busy.
"""

import gc

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pytest_collection_finish() -> None:
    """Collect garbage less often, and never among what is imported: a fifth of some tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
