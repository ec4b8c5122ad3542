"""Synthesis of a build: the core as a whole, and each of its blocks alone."""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.lib import wiring

from fpga.devices import Device, device_for
from fpga.synth import Progress, synthesise
from golden.params import Build
from hdl.banks import MapBanks
from hdl.cluster import Cluster
from hdl.control import ControlLoader
from hdl.core import Core
from hdl.counters import Counters
from hdl.drain import Drain
from hdl.encoder import Encoder
from hdl.fetcher import Fetcher
from hdl.intake import Intake
from hdl.l1_lane import L1Lane, WindowSum
from hdl.lane import Lane
from hdl.requant import Requantiser
from hdl.walker import Walker


@dataclass(frozen=True)
class Block:
    """A kind of block, made from the build alone, and how many of it the core has."""

    name: str
    make: Callable[[Build], wiring.Component]
    instances: int


def blocks_of(build: Build) -> list[Block]:
    """List the kinds of blocks in a build's core, in the order in which data meet them.

    A cluster contains its fetcher, walker, lanes and sum of pixels; the others do not overlap.
    """
    lanes = [Block("lane", Lane, build.lanes)]
    if build.pe == "l1":
        lanes = [
            Block("window_sum", WindowSum, build.clusters),
            Block("lane", L1Lane, build.lanes),
        ]
    return [
        Block("control", ControlLoader, 1),
        Block("intake", Intake, 1),
        Block("banks", MapBanks, 1),
        Block("cluster", Cluster, build.clusters),
        Block("fetcher", Fetcher, build.clusters),
        Block("walker", Walker, build.clusters),
        *lanes,
        Block("drain", Drain, 1),
        Block("requant", Requantiser, 1),
        Block("encoder", Encoder, 1),
        Block("counters", Counters, 1),
    ]


def synthesise_build(
    build: Build,
    device: Device | None = None,
    *,
    seeds: int = 3,
    blocks: bool = True,
    progress: Progress | None = None,
) -> dict:
    """Synthesise the core of a build, then each of its blocks alone.

    Parameters
    ----------
    build : Build
        The core's parameters.
    device : Device, optional
        The part; by default the one that the preset is meant for (`device_for`).
    seeds : int
        Runs of place and route, with the seeds 1 to `seeds`.
    blocks : bool
        Whether to measure the blocks too.
    progress : callable, optional
        `progress(done, total, text)`, called when a step starts: `text` says which.

    Returns
    -------
    dict
        `preset`, `device`, `lanes`, `pe`, what `synthesise` returns for the core, and `blocks`: a
        list of `name`, `instances` (how many the core has) and what `synthesise` returns for one
        of them alone, without `seeds` and `tools`, which are the core's.

    Raises
    ------
    SynthError
        If a tool is missing or fails.
    """
    part = device or device_for(build.name)
    kinds = blocks_of(build) if blocks else []
    total = 1 + len(kinds)

    def measure(index: int, name: str, component: wiring.Component) -> dict:
        def step(done: int, steps: int, text: str) -> None:
            if progress:
                progress(index * steps + done, total * steps, f"{name}: {text}")

        return synthesise(component, part, seeds=seeds, progress=step)

    core = measure(0, "core", Core(build))
    table = []
    for index, kind in enumerate(kinds, start=1):
        figures = measure(index, kind.name, kind.make(build))
        del figures["device"], figures["seeds"], figures["tools"]
        table.append({"name": kind.name, "instances": kind.instances, **figures})
    return {
        "preset": build.name,
        "device": core.pop("device"),
        "lanes": build.lanes,
        "pe": build.pe,
        **core,
        "blocks": table,
    }
