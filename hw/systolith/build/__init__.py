"""From engines to files: emitted Verilog and its description."""

from systolith.build.design import Design, StreamPort, load_design
from systolith.build.emit import emit_verilog, output_streams, write_design
from systolith.build.load import load_bytes
from systolith.build.verilog import to_verilog

__all__ = [
    "Design",
    "StreamPort",
    "emit_verilog",
    "load_bytes",
    "load_design",
    "output_streams",
    "to_verilog",
    "write_design",
]
