"""The table of parts."""

import pytest

from fpga.devices import DEVICES, LARGE_LUTS, DeviceError, device, device_for
from golden.params import PRESETS


def test_a_device_is_found_in_either_case():
    assert device("LFE5U-85F") is device("lfe5u-85f") is DEVICES["lfe5u-85f"]


def test_an_unknown_device_is_refused_with_the_choice():
    with pytest.raises(DeviceError, match=r"'up6k' is unknown: choose one of lfe5u-25f, .*, hx8k"):
        device("up6k")


@pytest.mark.parametrize(
    ("preset", "name"), [("up5k", "up5k"), ("tiny", "lfe5u-25f"), ("nullhop", "lfe5u-85f")]
)
def test_a_preset_has_its_device(preset, name):
    assert preset in PRESETS
    assert device_for(preset) is DEVICES[name]


def test_cells_are_counted_as_resources():
    ecp5 = {"LUT4": 5, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "PFUMX": 9, "TRELLIS_FF": 7, "DP16KD": 3}
    assert device("lfe5u-25f").count(ecp5) == {"lut": 15, "ff": 7, "bram": 3, "dsp": 0}
    ice40 = {"SB_LUT4": 5, "SB_CARRY": 4, "SB_DFF": 1, "SB_DFFESR": 2, "SB_RAM40_4KNR": 1}
    assert device("up5k").count({**ice40, "SB_MAC16": 6}) == {
        "lut": 5,
        "ff": 3,
        "bram": 1,
        "dsp": 6,
    }


def test_speed_grades_share_a_die():
    slow, fast = device("lfe5u-85f"), device("lfe5u-85f-8")
    assert (slow.part, fast.part) == ("LFE5U-85F-6BG381C", "LFE5U-85F-8BG381C")
    assert slow.die == fast.die == "lfe5u-85f"
    given = [part.part_options[part.part_options.index("--speed") + 1] for part in (slow, fast)]
    assert given == ["6", "8"]
    assert slow.synth == fast.synth


def test_large_designs_have_options_of_their_own():
    part = device("lfe5u-85f")
    assert part.options(LARGE_LUTS) == part.part_options
    assert part.options(LARGE_LUTS + 1) == (*part.part_options, *part.large_options)
