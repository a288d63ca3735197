"""The software half of a run, which needs PyTorch: from an experiment file to an integer network.

:mod:`experiment` defines the stages, with what :mod:`factories` and
:mod:`prunings` make.
"""
