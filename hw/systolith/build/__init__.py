"""From engines to files: emitted Verilog and its description."""

from systolith.build.design import Design, StreamPort, load_design
from systolith.build.emit import emit_verilog, write_design

__all__ = ["Design", "StreamPort", "emit_verilog", "load_design", "write_design"]
