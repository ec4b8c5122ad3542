"""Planned layers: what passes and plans say of themselves."""

from hypothesis import given

from compiler.passes import LayerPlan, PassPlan
from compiler.plan import plan_layer
from golden.cycles.core import PassData
from tests.layers import TINY, a_layer, cases, grouped_cases


@given(cases() | grouped_cases())
def test_the_cycle_model_is_told_what_a_pass_is_given(case):
    plan = case.plan
    assert plan.pass_data == tuple(p.data for p in plan.passes)
    for p, data in zip(plan.passes, plan.pass_data, strict=True):
        assert data.descriptor is p.descriptor
        assert p.channels == data.channels == p.part.channels
        assert (data.in_rows, data.out_rows) == (p.in_rows, p.out_rows)
        # The blocks are those of the channels.
        assert data.in_blocks == p.given.blocks
        starts = [n * plan.in_block for n in range(data.in_blocks[0], data.in_blocks[1] + 1)]
        assert data.in_channels == (starts[0], min(starts[-1], plan.in_shape[2]))
        assert data.in_channels[1] - data.in_channels[0] == p.descriptor.in_channels


@given(cases())
def test_a_plan_says_what_its_layer_is(case):
    plan = case.plan
    assert plan.kind == plan.layer.kind == "conv"
    assert plan.layer is case.layer
    assert plan.in_shape == case.shape
    assert plan.out_shape == case.y.shape
    assert plan.in_block == case.build.lanes
    assert plan.descriptors == tuple(p.descriptor for p in plan.passes)
    # Every output channel leaves in one block, every column in one range.
    assert sum(channels for channels, _ in plan.out_blocks) == case.channels
    assert {ranges[-1][1] for _, ranges in plan.out_blocks} == {plan.out_shape[1]}


def test_by_hand():
    """Depthwise, 12 channels in two passes, of blocks of 8 channels."""
    plan = plan_layer(a_layer((12, 1, 3, 3), groups=12), (5, 4, 12), TINY)
    assert isinstance(plan, LayerPlan)
    first, second = plan.passes
    assert isinstance(first, PassPlan)
    assert first.channels == (0, 8)
    assert second.channels == (8, 12)
    assert second.data == PassData(
        descriptor=second.descriptor,
        in_blocks=(1, 2),
        in_channels=(8, 12),
        in_rows=(0, 5),
        out_rows=(0, 3),
        channels=(8, 12),
    )
    assert next((s.block, s.row) for s in first.segments if s.context == 0) == (0, 0)
    assert [channels for channels, _ in plan.out_blocks] == [4, 4, 4]
