"""The place in a stripe against columns counted one by one."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given, settings

from hdl.layouts import CLUSTER_CONFIG, PASS_CONFIG
from hdl.scan import ScanColumn, bank_bits, read_request, scan_entry
from tests.hdl.harness import simulate
from tests.hdl.stripes import Share, shares
from tests.layers import BUILDS, TINY, cluster_config, pass_config


class Columns(wiring.Component):
    """A `ScanColumn` with ports."""

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
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        column = ScanColumn(m, self.config, self.work, "column")
        taps = Signal(3)
        with m.If(self.start):
            m.d.sync += column.start()
        with m.Else():
            m.d.sync += column.step()
        m.d.comb += [
            taps.eq(column.taps()),
            self.newest.eq(column.newest),
            self.phase.eq(column.phase),
            self.taps.eq(taps),
            self.retires.eq(column.retires()),
            self.last.eq(column.is_last()),
        ]
        return m


def expected(share: Share) -> list[tuple[int, ...]]:
    """Newest output, phase, taps, retires and last of every column that an output sees."""
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
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for wanted in expected(share):
                found = (dut.newest, dut.phase, dut.taps, dut.retires, dut.last)
                assert tuple(ctx.get(signal) for signal in found) == wanted
                await ctx.tick()

    simulate(dut, drive)


def test_layouts_follow_the_build():
    assert [bank_bits(TINY.replace(clusters=n)) for n in (1, 2, 4, 8)] == [1, 1, 2, 3]
    for build in BUILDS:
        assert read_request(build)["address"].width == (build.map_words - 1).bit_length()
        entry = scan_entry(build)
        assert entry["word"].width == build.map_word_bits
        assert entry["tag"].offset == build.map_word_bits
