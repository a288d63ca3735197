"""The hardware half of a run: from an integer network to a bitstream and its checks.

:mod:`stages` defines the stages; the other modules do their work.
"""
