"""Estimates of LUTs, flip-flops, DSPs and block RAMs of each stage, and of the clock."""
