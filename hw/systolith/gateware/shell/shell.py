"""A shell around a pipeline: framed streams, and registers that are independent of the bus."""

from typing import Any, Protocol

from amaranth import Cat, Const, DomainRenamer, Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.shell.activity import Activity
from systolith.gateware.shell.axi_stream import RegisterSlice, packet
from systolith.gateware.shell.config import ShellConfig, StreamFormat
from systolith.gateware.shell.frames import FrameCheck, FrameEnd
from systolith.gateware.shell.load_port import LoadPort
from systolith.gateware.shell.register_map import Register, register_map
from systolith.gateware.shell.registers import REQUEST, RESPONSE, RegisterFile

__all__ = ["CONTROL", "Core", "Shell"]

CONTROL = "control"
"""Clock domain of the registers: the clock of `sync`, without its soft reset."""


class Core(Protocol):
    """The part inside a shell: a pipeline."""

    i: stream.Interface
    load: data.View
    loaded: Signal
    overflow: Signal

    @property
    def outputs(self) -> tuple[stream.Interface, ...]:
        """Output streams."""


class Shell(wiring.Component):
    """A pipeline with frame checks at its streams, and registers for status and control.

    Members
    -------
    i : ``In(stream.Signature(packet(...)))``
    o_0, o_1, ... : ``Out(stream.Signature(packet(..., user=True)))``
        One for each output of the core.
    request : ``In(stream.Signature(REQUEST))``
    response : ``Out(stream.Signature(RESPONSE, always_ready=True))``
        Accesses to the registers of :attr:`registers`.
    reset : ``Out(1)``
        1 for one cycle when a host requests a reset of the domain `sync`.

    Timing
    ------
    Two clock domains with the same clock: `sync`, and for registers and loads `control`, which
    `reset` must not reset. The shell adds 2 cycles to the latency of the core.
    """

    i: stream.Interface
    request: stream.Interface
    response: stream.Interface
    reset: Signal

    def __init__(self, core: Core, config: ShellConfig) -> None:
        self.core, self.config = core, config
        self.registers = register_map(outputs=len(config.outputs), reloadable=config.reloadable)
        members: dict[str, Any] = {
            "i": In(stream.Signature(packet(config.input.tdata_width))),
            "request": In(stream.Signature(REQUEST)),
            "response": Out(stream.Signature(RESPONSE, always_ready=True)),
            "reset": Out(1),
        }
        for number, output in enumerate(config.outputs):
            shape = packet(output.tdata_width, user=True)
            members[f"o_{number}"] = Out(stream.Signature(shape))
        super().__init__(members)

    @property
    def outputs(self) -> tuple[stream.Interface, ...]:
        """Streams of results, in the order of the core's outputs."""
        return tuple(getattr(self, f"o_{n}") for n in range(len(self.config.outputs)))

    def elaborate(self, platform: object) -> Module:
        """Connect the streams to the core, and the registers to all parts."""
        m = Module()
        config = self.config
        m.submodules.pipeline = self.core
        m.submodules.registers = registers = DomainRenamer(CONTROL)(RegisterFile(self.registers))
        outputs = len(config.outputs)
        # Besides the frames that wait for their mark, two can have their last transfer in the
        # register slice of the output, and one can have entered in part.
        m.submodules.activity = activity = Activity(outputs, config.most_frames + 3)
        m.submodules.frame_check = check = FrameCheck(config.input)
        wiring.connect(m, wiring.flipped(self.request), registers.request)
        wiring.connect(m, registers.response, wiring.flipped(self.response))

        self._connect_input(m, check)
        marks_ready = []
        for number, output in enumerate(config.outputs):
            marks_ready.append(self._connect_output(m, number, output, check.marks))
            port = self.outputs[number]
            m.d.comb += [
                activity.left[number].eq(port.valid & port.ready & port.payload.last),
                activity.blocked[number].eq(port.valid & ~port.ready),
            ]
        m.d.comb += [
            check.marks.ready.eq(Cat(marks_ready).all()),
            check.check.eq(_bit(registers, self._register("CONTROL"), "CHECK_TLAST")),
            activity.begun.eq(check.begun),
            activity.ended.eq(check.ended),
            activity.waiting.eq(check.waiting),
            activity.limit.eq(registers.stall_limit),
        ]
        self._constants(m, registers)
        self._state(m, registers, activity, check)
        return m

    def _connect_input(self, m: Module, check: FrameCheck) -> None:
        m.submodules.input_slice = cut = RegisterSlice(self.i.payload.shape())
        wiring.connect(m, wiring.flipped(self.i), cut.i)
        wiring.connect(m, cut.o, check.i)
        m.d.comb += [
            data.View.as_value(self.core.i.payload).eq(check.o.payload),
            self.core.i.valid.eq(check.o.valid),
            check.o.ready.eq(self.core.i.ready),
        ]

    def _connect_output(
        self, m: Module, number: int, output: StreamFormat, marks: stream.Interface
    ) -> Signal:
        """Connect one output to its port. Returns whether its queue has room for a mark."""
        port = self.outputs[number]
        source = self.core.outputs[number]
        m.submodules[f"frame_end_{number}"] = end = FrameEnd(output)
        m.submodules[f"output_slice_{number}"] = cut = RegisterSlice(port.payload.shape())
        queue = fifo.SyncFIFO(width=1, depth=self.config.most_frames)
        m.submodules[f"marks_{number}"] = queue
        m.d.comb += [
            end.i.payload.eq(data.View.as_value(source.payload)),
            end.i.valid.eq(source.valid),
            source.ready.eq(end.i.ready),
            queue.w_data.eq(marks.payload),
            queue.w_en.eq(marks.valid),
            end.marks.payload.eq(queue.r_data),
            end.marks.valid.eq(queue.r_rdy),
            queue.r_en.eq(end.marks.ready),
        ]
        wiring.connect(m, end.o, cut.i)
        wiring.connect(m, cut.o, wiring.flipped(port))
        return queue.w_rdy

    def _constants(self, m: Module, registers: RegisterFile) -> None:
        config = self.config
        major, minor, patch = config.version
        values = {
            "ID": int.from_bytes(b"SYST"),
            "VERSION": major << 16 | minor << 8 | patch,
            "NETWORK_LO": config.network_hash & 0xFFFFFFFF,
            "NETWORK_HI": config.network_hash >> 32,
            "FEATURES": len(config.outputs) | config.reloadable << 16,
        }
        if config.reloadable:
            values["LOAD_SIZE"] = config.load_bytes
        streams = {"INPUT": config.input}
        streams |= {f"OUTPUT_{n}": output for n, output in enumerate(config.outputs)}
        for name, form in streams.items():
            values[f"{name}_TRANSFERS"] = form.transfers
            values[f"{name}_FORMAT"] = form.lanes | form.act.bits << 16 | form.act.signed << 24
        for name, value in values.items():
            m.d.comb += getattr(registers, name.lower()).eq(value)

    def _state(
        self, m: Module, registers: RegisterFile, activity: Activity, check: FrameCheck
    ) -> None:
        """Connect commands, status, errors and counters."""
        command, status, errors = map(self._register, ("COMMAND", "STATUS", "ERRORS"))
        commands = registers.command.payload
        given = (commands.data & commands.strobe[0].replicate(8)) & (
            registers.command.valid.replicate(command.width)
        )
        m.d[CONTROL] += self.reset.eq(given[command.field("RESET").bit])
        state: dict[str, Any] = {
            "BUSY": activity.busy,
            "INPUT_STALLED": activity.input_stalled,
            "OUTPUT_BLOCKED": activity.output_blocked,
        }
        happened: dict[str, Any] = {
            "SHORT_FRAME": check.short,
            "LONG_FRAME": check.long,
            "INPUT_STALLED": activity.input_stalled,
            "OUTPUT_BLOCKED": activity.output_blocked,
        }
        opened: Any = Const(1)
        if self.config.reloadable:
            start = Signal()
            m.d[CONTROL] += start.eq(given[command.field("LOAD_START").bit])
            m.submodules.load_port = port = DomainRenamer(CONTROL)(LoadPort(self.config.load_bytes))
            wiring.connect(m, registers.load_data, port.words)
            m.d.comb += [
                port.start.eq(start),
                port.full.eq(self.core.loaded),
                self.core.load.eq(port.bus),
                registers.load_count.eq(port.count),
                registers.load_crc.eq(port.crc),
            ]
            state["LOADED"] = opened = port.loaded
            happened["LOAD_OVERFLOW"] = port.overflow | self.core.overflow
            happened["LOAD_BUSY"] = start & activity.busy
        m.d.comb += [registers.command.ready.eq(1), check.open.eq(opened)]
        for field in status.fields:
            m.d.comb += registers.status[field.bit].eq(state[field.name])
        for field in errors.fields:
            m.d.comb += registers.errors_set[field.bit].eq(happened[field.name])

        error_frame = Signal(32)
        known = _bit(registers, errors, "SHORT_FRAME") | _bit(registers, errors, "LONG_FRAME")
        with m.If((check.short | check.long) & ~known):
            m.d[CONTROL] += error_frame.eq(activity.frames_in)
        m.d.comb += [
            registers.error_frame.eq(error_frame),
            registers.cycles_lo.eq(activity.cycles),
            registers.cycles_hi.eq(activity.cycles >> 32),
        ]
        for name in (
            "frames_in", "frames_out", "latency", "interval", "input_stalls", "output_stalls",
        ):  # fmt: skip
            m.d.comb += getattr(registers, name).eq(getattr(activity, name))

    def _register(self, name: str) -> Register:
        return next(register for register in self.registers if register.name == name)


def _bit(registers: RegisterFile, register: Register, field: str) -> Any:
    """Select a bit of a writable register."""
    return getattr(registers, register.name.lower())[register.field(field).bit]
