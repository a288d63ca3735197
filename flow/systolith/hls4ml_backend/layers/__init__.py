"""The layers of hls4ml, each mapped to layers of the network.

:mod:`activations` reads functions of one value and :mod:`functions` computes them exactly;
:mod:`weighted` maps layers with weights, :mod:`pools` pools, :mod:`moving` layers that only move
values, and :mod:`merging` layers with two inputs.
"""
