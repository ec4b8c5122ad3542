"""The place in a stripe against columns counted one by one."""

from amaranth.hdl import Cat, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given, settings

from hdl.layouts import CLUSTER_CONFIG, PASS_CONFIG
from hdl.scan import AnnouncedScanColumn, ScanColumn, bank_bits, read_request, scan_entry
from tests.hdl.harness import simulate
from tests.hdl.stripes import Share, shares
from tests.layers import BUILDS, TINY, cluster_config, pass_config


class Columns(wiring.Component):
    """A `ScanColumn` and an `AnnouncedScanColumn` with ports."""

    def __init__(self):
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "work": In(CLUSTER_CONFIG),
                "start": In(1),
                "newest": Out(13),
                "phase": Out(2),
                "taps": Out(3),
                "retires": Out(1),
                "announced": Out(15),
                "jumps": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        column = ScanColumn(m, self.config, self.work, "column")
        announced = AnnouncedScanColumn(m, self.config, self.work, "announced")
        taps = Signal(3)
        for each in (column, announced):
            with m.If(self.start):
                m.d.sync += each.start()
            with m.Else():
                m.d.sync += each.step()
        m.d.comb += [
            taps.eq(column.taps()),
            self.newest.eq(column.newest),
            self.phase.eq(column.phase),
            self.taps.eq(taps),
            self.retires.eq(column.retires()),
            self.announced.eq(Cat(announced.phase, announced.newest)),
            self.jumps.eq(announced.jumps),
            self.last.eq(announced.is_last),
        ]
        return m


def expected(share: Share) -> list[tuple[int, ...]]:
    """Newest output, phase, taps, retires, jumps and last of every column that an output sees."""
    d = share.d
    outputs = range(share.work.end_col - share.work.first_col)
    seen_by = {
        j: [o for o in outputs if 0 <= j - o * d.stride_w < d.kernel_w]
        for j in range((len(outputs) - 1) * d.stride_w + d.kernel_w)
    }
    columns = [j for j, seers in seen_by.items() if seers]
    return [
        (
            j // d.stride_w,
            j % d.stride_w,
            len(range(j % d.stride_w, d.kernel_w, d.stride_w)),
            int(any(j == o * d.stride_w + d.kernel_w - 1 for o in outputs)),
            int(d.stride_w > d.kernel_w and j % d.stride_w == d.kernel_w - 1),
            int(j == columns[-1]),
        )
        for j in columns
    ]


@given(shares())
@settings(max_examples=max(20, settings.default.max_examples // 2))
def test_columns_of_a_stripe(work):
    dut = Columns()

    async def drive(ctx):
        for share in work:
            ctx.set(dut.config, pass_config(share.d))
            ctx.set(dut.work, cluster_config(share.work))
            await ctx.tick()
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for wanted in expected(share):
                found = (dut.newest, dut.phase, dut.taps, dut.retires, dut.jumps, dut.last)
                assert tuple(ctx.get(signal) for signal in found) == wanted
                newest, phase, *_ = wanted
                assert ctx.get(dut.announced) == newest << 2 | phase
                await ctx.tick()

    simulate(dut, drive)


def test_layouts_follow_the_build():
    assert [bank_bits(TINY.replace(clusters=n)) for n in (1, 2, 4, 8)] == [1, 1, 2, 3]
    for build in BUILDS:
        address = read_request(build)["addresses"].shape.elem_shape
        assert Shape.cast(address).width == (build.map_words - 1).bit_length()
        entry = scan_entry(build)
        assert entry["word"].width == build.map_word_bits
        assert entry["tag"].offset == build.map_word_bits
