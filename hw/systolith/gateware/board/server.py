"""The server of a board: receiver, stores and sender around an accelerator."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import BoardConfig
from systolith.gateware.board.image_store import ImageStore
from systolith.gateware.board.packets import AnswerStatus, RequestKind
from systolith.gateware.board.receiver import PacketReceiver
from systolith.gateware.board.result_bytes import ResultBytes
from systolith.gateware.board.result_store import ResultStore, result_layout
from systolith.gateware.board.sender import AnswerSender
from systolith.gateware.board.uart import UartReceiver, UartTransmitter

__all__ = ["Server"]


class Server(wiring.Component):
    """Classify images from a serial line, one at a time.

    A request is carried out only if its checksum, version, kind and length are right; otherwise the
    answer says what is wrong. Bytes that arrive during an answer are dropped.

    Parameters
    ----------
    config : BoardConfig
    input_bits : int
        Width of one value of an image.

    Members
    -------
    rx, tx : ``In(1)``, ``Out(1)``
        The line.
    busy : ``Out(1)``
        Whether a request is being carried out or answered.
    images : ``Out(stream.Signature(lanes_in * input_bits))``
        Transfers to the accelerator.
    results_0, results_1, ... : ``In(stream.Signature(layout))``
        Transfers of each output from the accelerator; :attr:`results` lists them.

    Timing
    ------
    Images enter the accelerator at one transfer per cycle, and results are taken in every cycle, so
    the cycles in the answer are those of the accelerator.
    """

    rx: Signal
    tx: Signal
    busy: Signal
    images: stream.Interface

    def __init__(self, config: BoardConfig, *, input_bits: int) -> None:
        self.config, self.input_bits = config, input_bits
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "busy": Out(1),
                "images": Out(stream.Signature(config.lanes_in * input_bits)),
                **{
                    f"results_{number}": In(stream.Signature(result_layout(output)))
                    for number, output in enumerate(config.outputs)
                },
            }
        )

    @property
    def results(self) -> tuple[stream.Interface, ...]:
        """Streams of the outputs, in their order."""
        return tuple(getattr(self, f"results_{n}") for n in range(len(self.config.outputs)))

    def elaborate(self, platform: object) -> Module:
        """Join the parts from the line to the accelerator and back."""
        m = Module()
        config = self.config
        m.submodules.uart_receiver = uart_in = UartReceiver(config.divisor)
        m.submodules.receiver = receiver = PacketReceiver(config)
        m.submodules.images = images = ImageStore(config, self.input_bits)
        m.submodules.sender = sender = AnswerSender(config)
        m.submodules.uart_transmitter = uart_out = UartTransmitter(config.divisor)
        wiring.connect(m, images.o, wiring.flipped(self.images))
        wiring.connect(m, sender.o, uart_out.i)
        classify, start = Signal(), Signal()
        m.d.comb += [
            uart_in.rx.eq(self.rx),
            self.tx.eq(uart_out.tx),
            receiver.byte.eq(uart_in.byte),
            receiver.valid.eq(uart_in.valid),
            receiver.error.eq(uart_in.error),
            receiver.enable.eq(~self.busy),
            images.begin.eq(receiver.begin),
            images.byte.eq(uart_in.byte),
            images.valid.eq(receiver.payload),
            classify.eq(
                (receiver.status == AnswerStatus.OK) & (receiver.kind == RequestKind.CLASSIFY)
            ),
            start.eq(receiver.done & classify),
            images.start.eq(start),
            sender.status.eq(receiver.status),
            sender.kind.eq(receiver.kind),
            sender.sequence.eq(receiver.sequence),
        ]
        full = self._keep_results(m, sender, start)
        finished = self._count_cycles(m, sender.cycles, start, full)
        m.d.comb += sender.start.eq((receiver.done & ~classify) | finished)
        with m.If(receiver.done):
            m.d.sync += self.busy.eq(1)
        with m.If(sender.done):
            m.d.sync += self.busy.eq(0)
        return m

    def _keep_results(self, m: Module, sender: AnswerSender, start: Signal) -> Value:
        """Store all outputs and read them for the answer. Returns whether all are complete."""
        stores = []
        for number, output in enumerate(self.config.outputs):
            store, reader = ResultStore(output), ResultBytes(output)
            m.submodules[f"results_{number}"] = store
            m.submodules[f"bytes_{number}"] = reader
            wiring.connect(m, wiring.flipped(self.results[number]), store.i)
            m.d.comb += [
                store.start.eq(start),
                store.address.eq(reader.address),
                reader.start.eq(sender.start),
                reader.word.eq(store.word),
                reader.taken.eq(sender.taken[number]),
                sender.results[number].eq(reader.byte),
                sender.last[number].eq(reader.last),
            ]
            stores.append(store.full)
        return Cat(stores).all()

    def _count_cycles(self, m: Module, cycles: Signal, start: Signal, full: Value) -> Signal:
        """Count from the first transfer in to the last out. Returns a pulse after the last."""
        counting, running, finished = Signal(), Signal(), Signal()
        count = Signal(cycles.shape())
        m.d.comb += [
            running.eq(counting | (self.images.valid & self.images.ready)),
            cycles.eq(count),
        ]
        m.d.sync += [finished.eq(running & full), counting.eq(running & ~full)]
        with m.If(running):
            m.d.sync += count.eq(count + 1)
        with m.If(start):
            m.d.sync += count.eq(0)
        return finished
