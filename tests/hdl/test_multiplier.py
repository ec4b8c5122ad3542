"""The multiplier: every product one cycle after its operands, exported or not."""

import pytest
from amaranth.back import rtlil
from hypothesis import given
from hypothesis import strategies as st

from hdl.memory import EXPORT
from hdl.multiplier import Multiplier
from tests.hdl.harness import simulate


@pytest.mark.parametrize(("a_width", "b_width"), [(17, 16), (9, 8), (1, 2)])
@given(data=st.data())
def test_products_come_one_cycle_later(a_width, b_width, data):
    def numbers(width: int) -> st.SearchStrategy[int]:
        return st.integers(-(1 << width - 1), (1 << width - 1) - 1)

    pairs = data.draw(st.lists(st.tuples(numbers(a_width), numbers(b_width)), min_size=1))
    dut = Multiplier(a_width, b_width)

    async def drive(ctx):
        for a, b in pairs:
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            await ctx.tick()
            assert ctx.get(dut.product) == a * b

    simulate(dut, drive)


def test_an_exported_one_is_an_instance():
    text = rtlil.convert(Multiplier(17, 16), platform=EXPORT)
    assert "openhop_multiplier" in text
    assert "$mul" not in text
    assert "openhop_multiplier" not in rtlil.convert(Multiplier(17, 16))
