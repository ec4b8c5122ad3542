"""The lane of an L1 build, which adds -|x - w| without a multiplier, and what lanes share.

A lane sums 2 min(|x|, |w|) where x and w have the same sign; the window's sum of |x|, which is
the same for all lanes, is formed once per cluster and taken off when a sum is finished. Whatever
does not depend on x is in the bias (`golden.adder`).
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.lane import lane_step
from hdl.memory import Ram


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

    A step enters in the cycle in which it enters the lanes; `operand` belongs to it one cycle
    later, but for `high`, which comes two cycles later. One step per cycle, no flow control.

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
        m.submodules.sums = sums = Ram(signed(build.acc_bits), build.acc_words)

        # Cycle t: the sum's address is taken. A negative pixel's magnitude is that of its
        # complement, and one.
        pixel = self.step.pixel
        negative = Signal()
        inverted = Signal(width - 1)
        m.d.comb += [
            sums.r_addr.eq(self.step.slot),
            negative.eq(self.signed_in & pixel[width - 1]),
            inverted.eq(pixel[: width - 1] ^ negative.replicate(width - 1)),
        ]
        code, code_signed = Signal(width), Signal()
        magnitude = Signal(width)
        visit, retire, fresh, forward = Signal(), Signal(), Signal(), Signal()
        slot = Signal.like(self.step.slot)
        m.d.sync += [
            code.eq(Cat(inverted, pixel[width - 1])),
            code_signed.eq(self.signed_in),
            magnitude.eq(Cat(inverted, pixel[width - 1] & ~self.signed_in) + negative),
            visit.eq(self.step.visit),
            retire.eq(self.step.retire),
            fresh.eq(self.step.fresh),
            forward.eq(self.forward),
            slot.eq(self.step.slot),
        ]

        # Cycle t + 1: take the pixel off, or give the sum, which is negative, to the lanes.
        acc = signed(build.acc_bits)
        old, total, latest = Signal(acc), Signal(acc), Signal(acc)
        m.d.comb += [
            old.eq(Mux(fresh, 0, Mux(forward, latest, sums.r_data))),
            total.eq(old - magnitude),
            sums.w_en.eq(visit),
            sums.w_addr.eq(slot),
            sums.w_data.eq(total),
        ]
        m.d.sync += latest.eq(total)
        half = old[1:]
        o = self.operand
        m.d.comb += [
            o.code.eq(Mux(retire, half[:width], code)),
            o.signed.eq(code_signed),
            o.whole.eq(retire),
            o.odd.eq(old[0]),
        ]
        m.d.sync += o.high.eq(Mux(retire, half[width:], 0))
        return m


class L1Lane(wiring.Component):
    """A lane that compares, selects and adds.

    As `hdl.lane.Lane` in its members and in every cycle: a shadow row that a step retires to stands
    three cycles after the step. Weights are not negative, or sign and magnitude
    (`golden.adder.Folded.codes`) where pixels are signed.

    An accumulator holds half of the sum, since minima count twice; what is odd of the sum joins it
    on the way to the shadow register.

    Members
    -------
    step, forward, bias_en, bias, start, weight_en, weight_address, weight_data, shift, shift_in,
        shadow : see `hdl.lane.Lane`; the step's pixel is not looked at
    operand : what belongs to the step of the cycle before, see `WindowSum`
    """

    def __init__(self, build: Build):
        self._build = build
        acc = signed(build.acc_bits)
        super().__init__(
            {
                "step": In(lane_step(build)),
                "forward": In(1),
                "operand": In(operand(build)),
                "bias_en": In(1),
                "bias": In(acc),
                "start": In(1),
                "weight_en": In(1),
                "weight_address": In(range(build.weight_words)),
                "weight_data": In(signed(build.weight_bits)),
                "shift": In(2),
                "shift_in": In(data.ArrayLayout(acc, 2)),
                "shadow": Out(data.ArrayLayout(acc, 2)),
            }
        )

    def elaborate(self, platform):
        build = self._build
        width = build.act_bits
        acc, half = signed(build.acc_bits), signed(build.acc_bits - 1)
        m = Module()

        m.submodules.weights = weights = Ram(unsigned(width), build.weight_words)
        m.submodules.sums = sums = Ram(half, build.acc_words)
        m.d.comb += [
            weights.w_en.eq(self.weight_en),
            weights.w_addr.eq(self.weight_address),
            weights.w_data.eq(self.weight_data),
        ]
        bias, next_bias = Signal(acc), Signal(acc)
        with m.If(self.bias_en):
            m.d.sync += next_bias.eq(self.bias)
        with m.If(self.start):
            m.d.sync += bias.eq(next_bias)

        # Cycle t: the weight's address is taken.
        m.d.comb += weights.r_addr.eq(self.step.address)
        s1 = Signal(lane_step(build))
        forward1 = Signal()
        m.d.sync += [s1.eq(self.step), forward1.eq(self.forward)]

        # Cycle t + 1: compare and select; the accumulator's address is taken. Half of a sum of
        # pixels takes the way of a pixel that is the smaller one.
        x, w, o = self.operand.code, weights.r_data, self.operand
        smaller, apart, sign = Signal(), Signal(), Signal()
        smallest = Signal(width)
        m.d.comb += [
            sums.r_addr.eq(s1.slot),
            smaller.eq((x < w) | o.whole),
            sign.eq(o.signed & ~o.whole),
            apart.eq(sign & (x[-1] ^ w[-1])),
        ]
        s2 = Signal(lane_step(build))
        forward2, carry, odd = Signal(), Signal(), Signal()
        m.d.sync += [
            s2.eq(s1),
            forward2.eq(forward1),
            smallest.eq(Mux(smaller, x, w) & Cat((~apart).replicate(width - 1), ~(apart | sign))),
            # The one that is missing in the code of a negative number, or the carry of bit 0.
            carry.eq(Mux(o.whole, o.odd & bias[0], sign & x[-1] & w[-1])),
            odd.eq(o.odd ^ bias[0]),
        ]

        # Cycle t + 2: add; write back, or retire.
        latest, old, total = Signal(half), Signal(half), Signal(half)
        finished = Signal(acc)
        with_carry = Cat(1, old).as_signed() + Cat(carry, smallest, o.high).as_signed()
        m.d.comb += [
            old.eq(Mux(s2.fresh, bias[1:], Mux(forward2, latest, sums.r_data))),
            total.eq(with_carry >> 1),
            sums.w_en.eq(s2.visit),
            sums.w_addr.eq(s2.slot),
            sums.w_data.eq(total),
            finished.eq(Cat(odd, total)),
        ]
        m.d.sync += latest.eq(total)
        for row in range(2):
            take = Signal(name=f"take_{row}")
            m.d.comb += take.eq(
                s2.retire & (s2.row == row) & (~s2.merge | (finished > self.shadow[row]))
            )
            with m.If(take):
                m.d.sync += self.shadow[row].eq(finished)
            with m.Elif(self.shift[row]):
                m.d.sync += self.shadow[row].eq(self.shift_in[row])
        return m
