"""Quantization-aware training with learned steps."""
