"""Evaluation of classes."""

import re

import pytest
import torch
from torch import nn

from systolith.train import evaluate
from tests.support.halves import make_classifier, make_halves


def test_evaluate_leaves_the_mode_as_it_is_and_takes_functions() -> None:
    model, data = make_classifier().train(), make_halves()
    evaluate(model, data.test_images, data.test_labels)
    assert model.training
    right = torch.nn.functional.one_hot(data.test_labels)
    assert evaluate(lambda images: right, data.test_images, data.test_labels) == 1.0
    assert evaluate(lambda images: -right, data.test_images, data.test_labels) == 0.0


def test_no_images_are_refused() -> None:
    data = make_halves()
    message = (
        "evaluation needs images and a whole number for each, got images of (0, 1, 4, 4) and "
        "torch.int64 labels of (0,)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        evaluate(make_classifier(), data.test_images[:0], data.test_labels[:0])


def test_evaluation_refuses_labels_beyond_the_outputs() -> None:
    data = make_halves()
    message = "labels must lie in 0..1, as the model has 2 outputs, got 0..2"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        evaluate(make_classifier(), data.test_images, torch.arange(30) % 3)
    message = (
        "a classifier must give logits of shape (N, classes), got (30, 2, 1, 1); flatten before "
        "returning"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        evaluate(nn.Conv2d(1, 2, 4), data.test_images, data.test_labels)
