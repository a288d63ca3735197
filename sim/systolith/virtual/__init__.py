"""A board that is none: its whole top module in Verilator, behind a pseudo-terminal."""

from systolith.virtual.board import VirtualBoard, build_virtual_board

__all__ = ["VirtualBoard", "build_virtual_board"]
