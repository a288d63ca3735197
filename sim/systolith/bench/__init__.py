"""Benches: cocotb and the native Verilator driver."""
