"""The parts that the synthesis flow knows: their resources, and how the tools are told of them."""

from collections.abc import Mapping
from dataclasses import dataclass

#: What a part offers and a design costs, in the order of reports.
RESOURCES = ("lut", "ff", "bram", "dsp")

#: LUTs above which a design is placed and routed with `Device.large_options`.
LARGE_LUTS = 20_000


#: Name of the file with `Device.pins`.
PINS = "pins.txt"


class DeviceError(ValueError):
    """The device is unknown."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One part, in one package and speed grade.

    Which package does not matter out of context, but the tools want one.
    """

    name: str
    #: Full name of the part, package and speed grade included.
    part: str
    #: Name of the part as all its speed grades have it: their sites and wires are the same.
    die: str
    #: Family as nextpnr names it: "ecp5" or "ice40".
    family: str
    #: Yosys' synthesis command.
    synth: str
    #: nextpnr's options that name the part.
    part_options: tuple[str, ...]
    #: Pin constraints, in the family's own format.
    pins: str = ""
    #: nextpnr's further options for designs of more than `LARGE_LUTS`.
    large_options: tuple[str, ...] = ()
    #: What the part has: LUTs of four inputs, flip-flops, block RAMs, multipliers.
    lut: int
    ff: int
    bram: int
    dsp: int

    @property
    def nextpnr(self) -> str:
        """Name of the place and route tool."""
        return f"yowasp-nextpnr-{self.family}"

    def options(self, lut: int) -> tuple[str, ...]:
        """Return nextpnr's options for a design of so many LUTs."""
        return self.part_options + (self.large_options if lut > LARGE_LUTS else ())

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Add up a Yosys netlist's cells as `lut`, `ff`, `bram` and `dsp`.

        A carry cell of the ECP5 (`CCU2C`) is two LUTs. A LUT RAM (`TRELLIS_DPR16X4`) is six: four
        that store, and two whose inputs its write port takes up. nextpnr's TRELLIS_COMB sites are
        more than these, by the cells through which a carry enters or leaves its chain. On iCE40 a
        carry (`SB_CARRY`) sits beside its adder's LUT and costs nothing of its own, and a logic
        cell holds a LUT and a flip-flop, so that a design may use up to lut + ff of the part's
        cells.
        """
        total: dict[str, int] = dict.fromkeys(RESOURCES, 0)
        for cell, number in cells.items():
            for prefix, resource, weight in CELLS[self.family]:
                if cell.startswith(prefix):
                    total[resource] += weight * number
        return total


#: Per family: (cell name or its beginning, resource, how many of it).
CELLS = {
    "ecp5": (
        ("LUT4", "lut", 1),
        ("CCU2C", "lut", 2),
        ("TRELLIS_DPR16X4", "lut", 6),
        ("TRELLIS_FF", "ff", 1),
        ("DP16KD", "bram", 1),
        ("PDPW16KD", "bram", 1),
        ("MULT18X18D", "dsp", 1),
    ),
    "ice40": (
        ("SB_LUT4", "lut", 1),
        ("SB_DFF", "ff", 1),
        ("SB_RAM40_4K", "bram", 1),
        ("SB_MAC16", "dsp", 1),
    ),
}


def _ecp5(size: str, lut: int, bram: int, dsp: int, grade: int = 6) -> Device:
    die = f"lfe5u-{size}f"
    return Device(
        name=die if grade == 6 else f"{die}-{grade}",
        part=f"LFE5U-{size}F-{grade}BG381C",
        die=die,
        family="ecp5",
        synth="synth_ecp5 -nowidelut",
        part_options=(
            f"--{size}k",
            "--package",
            "CABGA381",
            "--speed",
            str(grade),
            "--lpf",
            PINS,
            "--lpf-allow-unconstrained",
        ),
        # From a pin that is not a clock pin, router2 finds no way to the clock network.
        pins='LOCATE COMP "clk" SITE "G2";\n',
        # Static placement fills tiles to the last LUT, which leaves routers no way.
        large_options=("--placer", "heap", "--placer-heap-beta", "0.75", "--router", "router2"),
        lut=lut,
        ff=lut,
        bram=bram,
        dsp=dsp,
    )


def _ice40(name: str, part: str, package: str, synth: str, lut: int, bram: int, dsp: int) -> Device:
    return Device(
        name=name,
        part=part,
        die=name,
        family="ice40",
        synth=f"synth_ice40 {synth}",
        part_options=(f"--{name}", "--package", package, "--pcf-allow-unconstrained"),
        lut=lut,
        ff=lut,
        bram=bram,
        dsp=dsp,
    )


DEVICES = {
    device.name: device
    for device in (
        # LFE5U: block RAMs of 18 kbit, multipliers of 18x18 bits. Of its speed grades 6, 7 and 8
        # boards have mostly the slowest.
        _ecp5("25", lut=24_288, bram=56, dsp=28),
        _ecp5("45", lut=43_848, bram=108, dsp=72),
        _ecp5("85", lut=83_640, bram=208, dsp=156),
        _ecp5("85", lut=83_640, bram=208, dsp=156, grade=8),
        # Block RAMs of 4 kbit; SB_MAC16 exists on the UltraPlus only.
        _ice40("up5k", "iCE40UP5K-SG48", "sg48", "-device u -dsp", lut=5_280, bram=30, dsp=8),
        _ice40("hx8k", "iCE40HX8K-CT256", "ct256", "-device hx", lut=7_680, bram=32, dsp=0),
    )
}

#: Part for the presets that are made for one; the others go to the largest.
_PART_OF_PRESET = {
    "tiny": "lfe5u-25f",
    "tiny8": "lfe5u-25f",
    "tiny_l1": "lfe5u-25f",
    "ecp5_25f": "lfe5u-25f",
    "up5k": "up5k",
    "hx8k_l1": "hx8k",
}


def device(name: str) -> Device:
    """Return the device of that name, in either case.

    Raises
    ------
    DeviceError
        If there is none.
    """
    try:
        return DEVICES[name.lower()]
    except KeyError:
        known = ", ".join(DEVICES)
        raise DeviceError(f"device {name!r} is unknown: choose one of {known}") from None


def device_for(preset: str) -> Device:
    """Return the device that a preset is synthesised for unless another one is named."""
    return DEVICES[_PART_OF_PRESET.get(preset, "lfe5u-85f")]
