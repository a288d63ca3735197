"""Comparison of an imported network with the file's own executor, layer by layer.

:mod:`executors` run the file on :mod:`sample_images`; :mod:`counterparts` says which tensor of the
file is which layer; :mod:`agreement` compares them within the bounds of :mod:`tolerance`.
"""
