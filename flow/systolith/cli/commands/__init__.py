"""The commands of ``systolith``: their arguments here, their work in the packages below.

:mod:`stages` has the commands that run stages; :mod:`fuzz_runs` and :mod:`searching` are the parts
of ``fuzz`` and ``tune`` that need PyTorch, so that ``--help`` does not import them.
"""
