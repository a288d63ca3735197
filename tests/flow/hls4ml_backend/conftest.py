"""Keras chooses its backend when it is imported first; that of these tests is PyTorch."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")
