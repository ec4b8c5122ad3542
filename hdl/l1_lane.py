"""The lane of an L1 build, which adds -|x - w| without a multiplier, and what lanes share.

A lane sums 2 min(|x|, |w|) where x and w have the same sign; the window's sum of |x|, which is
the same for all lanes, is formed once per cluster and taken off when a sum is finished. Whatever
does not depend on x is in the bias (`golden.adder`), which is added behind the lanes.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.lane import BaseLane, accumulate, lane_step


def operand(build: Build) -> data.StructLayout:
    """Layout of what all lanes of a cluster add to, or are compared with, in one cycle.

    whole: a sum is finished: `code`, and `high` one cycle later, are half of what is to be
        added to it, `odd` is the bit below; otherwise `code` is a pixel and `high` is 0.
    code: sign and magnitude of a signed pixel as `golden.adder.Folded.codes` has them.
    signed: the highest bit of a pixel is a sign.
    """
    return data.StructLayout(
        {
            "code": unsigned(build.act_bits),
            "signed": unsigned(1),
            "whole": unsigned(1),
            "odd": unsigned(1),
            "high": unsigned(build.acc_bits - 1 - build.act_bits),
        }
    )


class WindowSum(wiring.Component):
    """The sum of |x| of every open window of a cluster, and pixels as the lanes take them.

    A step enters in the cycle in which it enters the lanes; `operand` belongs to it two cycles
    later, but for `high`, which comes three cycles later. One step per cycle, no flow control.

    Members
    -------
    signed_in : pixels may be negative; stable while steps are inside
    step, forward : as the lanes get them, see `hdl.lane.Lane`
    operand : see `operand`
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "signed_in": In(1),
                "step": In(lane_step(build)),
                "forward": In(1),
                "operand": Out(operand(build)),
            }
        )

    def elaborate(self, platform):
        build = self._build
        width = build.act_bits
        m = Module()

        # Cycle t: a negative pixel's magnitude is that of its complement, and one.
        pixel = self.step.pixel
        negative = Signal()
        m.d.comb += negative.eq(self.signed_in & pixel[width - 1])
        inverted = Signal(width - 1)
        code = Signal(width)
        magnitude = Signal(width)
        step, forward = Signal.like(self.step), Signal()
        m.d.sync += [
            inverted.eq(pixel[: width - 1] ^ negative.replicate(width - 1)),
            step.eq(self.step),
            forward.eq(self.forward),
        ]

        # Cycle t + 1: the sum's address is taken.
        top = step.pixel[width - 1]
        m.d.sync += [
            code.eq(Cat(inverted, top)),
            magnitude.eq(Cat(inverted, top & ~self.signed_in) + (top & self.signed_in)),
        ]

        # Cycle t + 2: take the pixel off, or give the sum, which is negative, to the lanes.
        total = Signal(signed(build.acc_bits))
        old, late_step = accumulate(m, step, forward, total, build.acc_words)
        sums = old.value()
        half, retire, o = sums[1:], late_step.retire, self.operand
        m.d.comb += [
            total.eq(sums - magnitude),
            o.code.eq(Mux(retire, half[:width], code)),
            o.signed.eq(self.signed_in),
            o.whole.eq(retire),
            o.odd.eq(sums[0]),
        ]
        m.d.sync += o.high.eq(Mux(retire, half[width:], 0))
        return m


class L1Lane(BaseLane):
    """A lane that compares, selects and adds.

    Weights are not negative, or sign and magnitude (`golden.adder.Folded.codes`) where pixels are
    signed. The step's pixel is not looked at.

    An accumulator holds half of the sum, since minima count twice; what is odd of the sum joins it
    on the way to the shadow register.

    Members
    -------
    operand : what belongs to the step of two cycles before, see `WindowSum`

    The others are those of `hdl.lane.BaseLane`.
    """

    def __init__(self, build: Build):
        super().__init__(build, operand=In(operand(build)))

    def elaborate(self, platform):
        build = self._build
        width = build.act_bits
        m = Module()
        w, step, forward = self._read_weight(m, unsigned(width))

        # Compare and select. Half of a sum of pixels takes the way of a pixel that is the smaller
        # one.
        x, o = self.operand.code, self.operand
        smaller, apart, sign = Signal(), Signal(), Signal()
        m.d.comb += [
            smaller.eq((x < w) | o.whole),
            sign.eq(o.signed & ~o.whole),
            apart.eq(sign & (x[-1] ^ w[-1])),
        ]
        smallest = Signal(width)
        carry, odd = Signal(), Signal()
        m.d.sync += [
            smallest.eq(Mux(smaller, x, w) & Cat((~apart).replicate(width - 1), ~(apart | sign))),
            # The one that is missing in the code of a negative number.
            carry.eq(sign & x[-1] & w[-1]),
            odd.eq(o.odd),
        ]

        # Add.
        total = Signal(signed(build.acc_bits - 1))
        old, late_step = accumulate(m, step, forward, total, build.acc_words)
        m.d.comb += total.eq(old.plus(m, Cat(smallest, o.high), carry))
        self._retire(m, late_step, Cat(odd, total))
        return m
