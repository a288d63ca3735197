"""Whole networks in RTL: utilization, cycles, equality on real images.

``python -m benchmarks.engine.networks NAME ...`` trains networks and keeps them in ``networks/``;
``python -m benchmarks.engine NAME ...`` generates and simulates them and writes ``results/``.
"""
