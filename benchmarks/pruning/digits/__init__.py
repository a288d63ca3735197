"""Each method against its own ablations on handwritten digits, three seeds, minutes on one core.

``python -m benchmarks.pruning.digits NAME`` measures one family of methods and writes
``benchmarks/pruning/results/digits-NAME.json``.
"""
