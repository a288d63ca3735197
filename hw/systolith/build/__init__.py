"""From engines to files: emitted Verilog and its description."""

from systolith.build.design import Design, StreamPort, load_design

__all__ = ["Design", "StreamPort", "load_design"]
