"""Layers of the integer network, made from values.

:mod:`draft` collects the layers of a network. :mod:`weighted` and :mod:`plain` make layers with and
without weights from :mod:`operands`, and :mod:`structure` detects the sparsity of weights.
"""
