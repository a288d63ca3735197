"""Layers of a quantized model: fake-quantized in training, integers on request.

:mod:`weighted` and :mod:`transposed` have weights, :mod:`weightless` has the others,
:mod:`requantizing` is how layers end, and :mod:`exact` computes their integers.
"""
