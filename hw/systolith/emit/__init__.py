"""Emit a planned network as Verilog, with a description for programs and a page for people."""

from systolith.emit.design import Design, StreamPort, load_design
from systolith.emit.interfaces import (
    BOARD_TOP,
    Bus,
    board_config,
    emit_board,
    emit_shell,
    shell_config,
    write_shell,
)
from systolith.emit.load import load_bytes
from systolith.emit.meaning import MEANING, MEANING_FILES, Meaning, read_meaning
from systolith.emit.network import (
    TOP,
    design_files,
    emit_alone,
    emit_verilog,
    input_stream,
    output_streams,
    write_design,
)
from systolith.emit.verilog import to_verilog

__all__ = [
    "BOARD_TOP",
    "MEANING",
    "MEANING_FILES",
    "TOP",
    "Bus",
    "Design",
    "Meaning",
    "StreamPort",
    "board_config",
    "design_files",
    "emit_alone",
    "emit_board",
    "emit_shell",
    "emit_verilog",
    "input_stream",
    "load_bytes",
    "load_design",
    "output_streams",
    "read_meaning",
    "shell_config",
    "to_verilog",
    "write_design",
    "write_shell",
]
