"""A memory that gives as little as `hdl.memory.Ram` promises, to stand in for it in tests."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib.memory import Memory

from hdl.memory import Ram

#: The modules that have memories of that kind.
USERS = ("hdl.banks", "hdl.lane")


class HostileRam(Ram):
    """Gives nonsense wherever `Ram` leaves open what a read gives.

    That is for a word that was never written, or is written in the cycle of the read: all of its
    bits are then the wrong way round.
    """

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self._shape).width
        m.submodules.words = words = Memory(shape=1 + width, depth=self._depth, init=[])
        write, read = words.write_port(), words.read_port()
        collided = Signal()
        m.d.sync += collided.eq(self.w_en & (self.w_addr == self.r_addr))
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_addr),
            write.data.eq(Cat(Const(1, 1), self.w_data)),
            read.addr.eq(self.r_addr),
            self.r_data.eq(Mux(read.data[0] & ~collided, read.data[1:], ~read.data[1:])),
        ]
        return m


@contextmanager
def hostile_memories() -> Iterator[None]:
    """Let the blocks that are elaborated meanwhile have hostile memories."""
    with ExitStack() as stack:
        for user in USERS:
            stack.enter_context(patch(f"{user}.Ram", HostileRam))
        yield
