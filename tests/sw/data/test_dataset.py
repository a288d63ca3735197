import re

import pytest
import torch

from systolith.data import Dataset


def test_reports_all_problems_at_once() -> None:
    message = (
        "data set 'x': train_images must be float32 of shape (N, C, H, W), "
        "got torch.float64 (3, 8, 8); "
        "test_labels must be int64 of shape (2,), got torch.int32 (2,); "
        "training and test images must have one shape, got (8, 8) and (1, 8, 8)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Dataset(
            name="x",
            train_images=torch.zeros(3, 8, 8, dtype=torch.float64),
            train_labels=torch.zeros(3, dtype=torch.int64),
            test_images=torch.zeros(2, 1, 8, 8),
            test_labels=torch.zeros(2, dtype=torch.int32),
        )
