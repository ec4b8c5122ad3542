"""A build's core and blocks, all wrapped and measured alike."""

import pytest

from fpga import builds
from fpga.devices import device
from fpga.wrapper import ScanWrapper
from golden.params import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_every_block_of_every_preset_can_be_wrapped(name):
    blocks = builds.blocks_of(preset(name))
    assert len({block.name for block in blocks}) == len(blocks)
    for block in blocks:
        wrapper = ScanWrapper(block.make(preset(name)))
        assert wrapper.input_bits > 0
        assert wrapper.output_bits > 0


@pytest.fixture
def fake_synthesis(monkeypatch):
    """Replace the tools: what is asked of them, and that the answers arrive."""
    asked = []

    def synthesise(component, part, *, seeds, progress):
        asked.append((type(component).__name__, part.name, seeds))
        progress(0, 4, "synthesis")
        progress(4, 4, "packing")
        return {"device": part.name, "lut": len(asked), "seeds": seeds, "tools": {"t": "1"}}

    monkeypatch.setattr(builds, "synthesise", synthesise)
    return asked


def test_core_then_blocks(fake_synthesis):
    steps = []
    result = builds.synthesise_build(
        preset("tiny"), seeds=2, progress=lambda *step: steps.append(step)
    )
    assert [name for name, _part, _seeds in fake_synthesis[:2]] == ["Core", "ControlLoader"]
    assert {(part, seeds) for _name, part, seeds in fake_synthesis} == {("lfe5u-25f", 2)}
    assert {key: result[key] for key in ("preset", "device", "lanes", "pe", "lut", "seeds")} == {
        "preset": "tiny",
        "device": "lfe5u-25f",
        "lanes": 8,
        "pe": "mac",
        "lut": 1,
        "seeds": 2,
    }
    lane = next(block for block in result["blocks"] if block["name"] == "lane")
    assert lane["instances"] == 8
    assert set(lane) == {"name", "instances", "lut"}
    total = 4 * len(fake_synthesis)
    assert steps[0] == (0, total, "core: synthesis")
    assert steps[-1] == (total, total, "counters: packing")
    assert [done for done, _total, _text in steps] == sorted(done for done, _t, _x in steps)


def test_the_core_alone_on_another_device(fake_synthesis):
    result = builds.synthesise_build(preset("tiny"), device("lfe5u-85f"), blocks=False)
    assert fake_synthesis == [("Core", "lfe5u-85f", 3)]
    assert result["blocks"] == []
