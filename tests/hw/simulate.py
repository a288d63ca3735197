"""One clock and one test bench in Amaranth's simulator."""

from amaranth.hdl import Elaboratable
from amaranth.sim import Simulator


def simulate(dut: Elaboratable, bench: object) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
