"""One lane: weight memory, multiplier, a window of accumulators, and the shadow of a column."""

from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.compare import less
from hdl.delay import delayed
from hdl.memory import Ram
from hdl.multiplier import Multiplier
from hdl.select_add import SelectAdd


def lane_step(build: Build) -> data.StructLayout:
    """Layout of what a cluster tells all of its lanes in one cycle.

    visit: add pixel x weight[address] to accumulator `slot`.
    retire: move accumulator `slot` to shadow row `row`, or, with `merge`, the larger of both to
    row 0; `pixel` is 0.
    fresh: the accumulator starts from 0 instead of its contents.
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


class Old(NamedTuple):
    """An accumulator before a step: `on` if `select`, else `off`.

    The choice is left to the adder, which may have it for nothing.
    """

    select: Signal
    off: Value
    on: Value

    def value(self) -> Value:
        """Return the sum itself."""
        return Mux(self.select, self.on, self.off)

    def plus(self, m: Module, addend: Value, carry: Value | None = None) -> Value:
        """Return the sum of this and an addend of as many bits, and of a carry of one bit."""
        off, on = self.off, self.on
        if carry is not None:  # 1 + carry, below the lowest bit
            off, on, addend = Cat(1, off), Cat(1, on), Cat(carry, addend)
        m.submodules.adder = adder = SelectAdd(len(off))
        m.d.comb += [
            adder.select.eq(self.select),
            adder.off.eq(off),
            adder.on.eq(on),
            adder.addend.eq(addend),
        ]
        return adder.total if carry is None else adder.total[1:]


def accumulate(
    m: Module, step: "data.View[data.StructLayout]", forward: Signal, total: Signal, words: int
) -> tuple[Old, data.View]:
    """Read an accumulator in one cycle, and write `total` back to it in the next.

    Parameters
    ----------
    step, forward : as they stand in the first cycle, see `BaseLane`
    total : the sum, made in the second cycle from what is returned
    words : accumulators

    Returns
    -------
    old, step : the accumulator before the step, and the step, as they stand in the second cycle
    """
    m.submodules.sums = sums = Ram(total.shape(), words)
    # The sum just made, or 0 to start from, which a flip-flop's reset gives; so it has no other.
    latest = Signal.like(total, reset_less=True)
    late_step, from_latest = Signal(step.shape(), name="late_step"), Signal()
    m.d.sync += [
        late_step.eq(step),
        latest.eq(Mux(step.fresh, 0, total)),
        from_latest.eq(step.fresh | forward),
    ]
    m.d.comb += [
        sums.r_addr.eq(step.slot),
        sums.w_en.eq(late_step.visit),
        sums.w_addr.eq(late_step.slot),
        sums.w_data.eq(total),
    ]
    return Old(from_latest, sums.r_data, latest), late_step


class BaseLane(wiring.Component):
    """What lanes have in common: weights, a window of accumulators, the shadow registers.

    A step enters in cycle t; its weight is read in t and registered in t + 1, multiplied or
    compared in t + 2, added in t + 3, so that a shadow row that it retires to stands from t + 5 on.
    One step per cycle, no flow control. Steps may follow each other on the same accumulator: the
    sum just made is forwarded.

    Members
    -------
    step : what to do, see `lane_step`
    forward : the step before visited this step's accumulator; comes with the step. After a retire
        step it is 0, unless the accumulator is `fresh`: then it may be anything
    weight_en, weight_address, weight_data : write port of the weight memory
    shadow : the two finished sums
    shift, beside : per row, the finished sum becomes that of the lane beside; not together with a
        sum that retires to it
    """

    def __init__(self, build: Build, **members: wiring.Member):
        self._build = build
        super().__init__(
            {
                "step": In(lane_step(build)),
                "forward": In(1),
                **members,
                "weight_en": In(1),
                "weight_address": In(range(build.weight_words)),
                "weight_data": In(signed(build.weight_bits)),
                "shadow": Out(data.ArrayLayout(signed(build.acc_bits), 2)),
                "shift": In(2),
                "beside": In(data.ArrayLayout(signed(build.acc_bits), 2)),
            }
        )

    def _read_weight(self, m: Module, shape: Shape) -> tuple[Value, data.View, Signal]:
        """Cycles t and t + 1: return the weight, its step and `forward` as they stand in t + 2."""
        m.submodules.weights = weights = Ram(shape, self._build.weight_words)
        m.d.comb += [
            weights.w_en.eq(self.weight_en),
            weights.w_addr.eq(self.weight_address),
            weights.w_data.eq(self.weight_data),
            weights.r_addr.eq(self.step.address),
        ]
        weight = delayed(m, weights.r_data, 1, "weight")
        return weight, delayed(m, self.step, 2, "step"), delayed(m, self.forward, 2, "forward")

    def _retire(self, m: Module, step: data.View, finished: Value) -> None:
        """Move a sum that is finished in t + 3 to the shadow row of the step."""
        value = Signal.like(self.shadow[0])
        retire, merge, row = Signal(), Signal(), Signal()
        m.d.sync += [
            value.eq(finished),
            retire.eq(step.retire),
            merge.eq(step.merge),
            row.eq(step.row),
        ]
        loses = Signal()
        m.d.comb += loses.eq(merge & less(value, self.shadow[0]))
        for n, shadow in enumerate(self.shadow):
            take = retire & (row == n)
            with m.If(take):
                with m.If(~loses if n == 0 else 1):  # sums merge in row 0
                    m.d.sync += shadow.eq(value)
            with m.Elif(self.shift[n]):
                m.d.sync += shadow.eq(self.beside[n])


class Lane(BaseLane):
    """A multiply-accumulate lane.

    Members
    -------
    maximum : accumulators keep the largest product instead of the sum, where the build has
        `max_pool`; stable

    The others are those of `BaseLane`.
    """

    def __init__(self, build: Build):
        super().__init__(build, maximum=In(1))

    def elaborate(self, platform):
        build = self._build
        m = Module()
        weight, step, forward = self._read_weight(m, signed(build.weight_bits))
        m.submodules.multiplier = multiplier = Multiplier(build.pixel_bits, build.weight_bits)
        product = multiplier.product
        m.d.comb += [multiplier.a.eq(step.pixel), multiplier.b.eq(weight)]

        total = Signal(signed(build.acc_bits))
        old, late_step = accumulate(m, step, forward, total, build.acc_words)
        wide = Signal.like(total)
        m.d.comb += [wide.eq(product), total.eq(old.plus(m, wide))]
        if build.max_pool:
            kept = Signal.like(total)
            m.d.comb += kept.eq(old.value())
            with m.If(self.maximum):
                m.d.comb += total.eq(Mux(kept > product, kept, product))
        self._retire(m, late_step, total)
        return m
