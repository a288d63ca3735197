"""The server of a board: receiver, stores and sender around an accelerator."""

from amaranth import Module, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import BoardConfig
from systolith.gateware.board.image_store import ImageStore
from systolith.gateware.board.packets import AnswerStatus, RequestKind
from systolith.gateware.board.receiver import PacketReceiver
from systolith.gateware.board.result_store import ResultStore
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
    output_shape : Shape
        Shape of one value of a result.

    Members
    -------
    rx, tx : ``In(1)``, ``Out(1)``
        The line.
    busy : ``Out(1)``
        Whether a request is being carried out or answered.
    images : ``Out(stream.Signature(lanes_in * input_bits))``
        Transfers to the accelerator.
    results : ``In(stream.Signature(data.ArrayLayout(output_shape, lanes_out)))``
        Transfers from the accelerator.

    Timing
    ------
    Images enter the accelerator at one transfer per cycle, and results are taken in every cycle, so
    the cycles in the answer are those of the accelerator.
    """

    rx: Signal
    tx: Signal
    busy: Signal
    images: stream.Interface
    results: stream.Interface

    def __init__(self, config: BoardConfig, *, input_bits: int, output_shape: Shape) -> None:
        self.config, self.input_bits = config, input_bits
        self.layout = data.ArrayLayout(output_shape, config.lanes_out)
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "busy": Out(1),
                "images": Out(stream.Signature(config.lanes_in * input_bits)),
                "results": In(stream.Signature(self.layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Join the parts from the line to the accelerator and back."""
        m = Module()
        config = self.config
        m.submodules.uart_receiver = uart_in = UartReceiver(config.divisor)
        m.submodules.receiver = receiver = PacketReceiver(config)
        m.submodules.images = images = ImageStore(config, self.input_bits)
        m.submodules.results = results = ResultStore(config, self.layout)
        m.submodules.sender = sender = AnswerSender(config, self.layout)
        m.submodules.uart_transmitter = uart_out = UartTransmitter(config.divisor)
        wiring.connect(m, images.o, wiring.flipped(self.images))
        wiring.connect(m, wiring.flipped(self.results), results.i)
        wiring.connect(m, sender.o, uart_out.i)
        classify = Signal()
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
            images.start.eq(receiver.done & classify),
            results.start.eq(receiver.done & classify),
            results.first.eq(self.images.valid & self.images.ready),
            results.address.eq(sender.address),
            sender.word.eq(results.word),
            sender.cycles.eq(results.cycles),
            sender.status.eq(receiver.status),
            sender.kind.eq(receiver.kind),
            sender.sequence.eq(receiver.sequence),
            sender.start.eq((receiver.done & ~classify) | results.finished),
        ]
        with m.If(receiver.done):
            m.d.sync += self.busy.eq(1)
        with m.If(sender.done):
            m.d.sync += self.busy.eq(0)
        return m
