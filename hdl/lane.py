"""One lane: weight memory, multiplier, a window of accumulators, and the shadow of a column."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.memory import Ram


def lane_step(build: Build) -> data.StructLayout:
    """Layout of what a cluster tells all of its lanes in one cycle.

    visit: add pixel x weight[address] to accumulator `slot`.
    retire: move accumulator `slot` to shadow row `row`, or, with `merge`, the larger of both to
    row 0.
    fresh: the accumulator starts from the bias instead of its contents.
    """
    return data.StructLayout(
        {
            "visit": unsigned(1),
            "retire": unsigned(1),
            "fresh": unsigned(1),
            "merge": unsigned(1),
            "row": unsigned(1),
            "slot": range(build.acc_words),
            "address": range(build.weight_words),
            "pixel": signed(build.pixel_bits),
        }
    )


class Lane(wiring.Component):
    """A multiply-accumulate lane.

    A step enters in cycle t; its weight is read in t, multiplied in t + 1, added in t + 2, so that
    a shadow row that it retires to stands from t + 3 on. One step per cycle, no flow control.
    Steps may follow each other on the same accumulator: the sum just made is forwarded.

    Members
    -------
    step : what to do, see `lane_step`
    forward : the step before visited this step's accumulator; comes with the step. After a retire
        step it is 0, unless the accumulator is `fresh`: then it may be anything
    maximum : accumulators keep the largest product instead of the sum, where the build has
        `max_pool`; stable
    bias_en, bias : where accumulators start from the next `start` on
    start : a pass begins
    weight_en, weight_address, weight_data : write port of the weight memory
    shift : shadow row i takes its value from `shift_in[i]`
    shadow : the two finished sums
    """

    def __init__(self, build: Build):
        self._build = build
        acc = signed(build.acc_bits)
        super().__init__(
            {
                "step": In(lane_step(build)),
                "forward": In(1),
                "maximum": In(1),
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
        acc = signed(build.acc_bits)
        m = Module()

        m.submodules.weights = weights = Ram(signed(build.weight_bits), build.weight_words)
        m.submodules.sums = sums = Ram(acc, build.acc_words)
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

        # Cycle t + 1: multiply; the accumulator's address is taken. One that the step before has
        # just changed is not read but forwarded.
        m.d.comb += sums.r_addr.eq(s1.slot)
        s2 = Signal(lane_step(build))
        forward2 = Signal()
        product = Signal(signed(build.pixel_bits + build.weight_bits))
        m.d.sync += [
            s2.eq(s1),
            forward2.eq(forward1),
            product.eq(s1.pixel * weights.r_data),
        ]

        # Cycle t + 2: add, or keep the larger, and write back, or retire.
        latest = Signal(acc)
        old = Signal(acc)
        total = Signal(acc)
        m.d.comb += [
            old.eq(Mux(s2.fresh, bias, Mux(forward2, latest, sums.r_data))),
            total.eq(old + product),
            sums.w_en.eq(s2.visit),
            sums.w_addr.eq(s2.slot),
            sums.w_data.eq(total),
        ]
        if build.max_pool:
            with m.If(self.maximum):
                m.d.comb += total.eq(Mux(old > product, old, product))
        m.d.sync += latest.eq(total)
        for row in range(2):
            take = Signal(name=f"take_{row}")
            m.d.comb += take.eq(s2.retire & (s2.row == row))
            if row == 0:  # the one that merges
                with m.If(s2.merge & (old <= self.shadow[0])):
                    m.d.comb += take.eq(0)
            with m.If(take):
                m.d.sync += self.shadow[row].eq(old)
            with m.Elif(self.shift[row]):
                m.d.sync += self.shadow[row].eq(self.shift_in[row])
        return m
