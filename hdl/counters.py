"""Counters of a layer: cycles, useful operations, and the cause of every cluster-cycle."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.layouts import CLUSTER_CONFIG

#: The counters, in the order of their ports; all but the first three count cluster-cycles.
COUNTERS = (
    "cycles",
    "compute",
    "useful",
    "busy",
    "decode",
    "weights",
    "drain",
    "imbalance",
    "bus",
)
COUNTER_BITS = 48
COUNTER_LAYOUT = data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS))


class Counters(wiring.Component):
    """Says what each cluster spends each cycle on.

    The first rule that holds: while the pass loads its weights: `weights`; when all clusters are
    done: `drain`; a visit: `busy`; a retire step, or a token that waits for the shadow registers:
    `drain`; waiting for input rows: `bus`; done, or without work: `imbalance`, or `bus` if all
    others are done too or wait for rows, and one waits; else `decode`. `compute` counts the cycles
    in which some cluster neither waits for weights nor for rows; `useful` the operations of all
    visits.

    Members
    -------
    work, run : see `hdl.control.ControlLoader`
    opening : first cycle of a layer: the counters start
    running : later cycles of a layer, up to its last
    visiting, retiring, blocked, waiting, done : per cluster
    counts : the counters; a cycle is in them from two cycles later on
    """

    def __init__(self, build: Build):
        self._build = build
        n = build.clusters
        super().__init__(
            {
                "work": In(data.ArrayLayout(CLUSTER_CONFIG, n)),
                "run": In(1),
                "opening": In(1),
                "running": In(1),
                "visiting": In(n),
                "retiring": In(n),
                "blocked": In(n),
                "waiting": In(n),
                "done": In(n),
                "counts": Out(COUNTER_LAYOUT),
            }
        )

    def elaborate(self, platform):
        n = self._build.clusters
        m = Module()

        causes = {name: Signal(n, name=f"is_{name}") for name in COUNTERS[3:]}
        all_done = self.done.all()
        wait = Signal(n)
        working = Signal(n)
        starved = Signal()
        m.d.comb += [
            working.eq(self.visiting | self.retiring | self.blocked),
            wait.eq(self.waiting & ~working),
            starved.eq(((wait | self.done) & ~working).all() & wait.any()),
        ]
        everywhere = (1 << n) - 1
        with m.If(~self.run):
            m.d.comb += causes["weights"].eq(everywhere)
        with m.Elif(all_done):
            m.d.comb += causes["drain"].eq(everywhere)
        with m.Elif(starved):
            m.d.comb += causes["bus"].eq(everywhere)
        with m.Else():
            stuck = (self.retiring | self.blocked) & ~self.visiting
            m.d.comb += [
                causes["busy"].eq(self.visiting),
                causes["drain"].eq(stuck),
                causes["bus"].eq(wait),
                causes["imbalance"].eq(self.done & ~working),
                causes["decode"].eq(~(working | wait | self.done)),
            ]

        visits = (
            Mux(visiting, work.lanes, 0)
            for visiting, work in zip(self.visiting, self.work, strict=True)
        )
        amounts = {
            "cycles": 1,
            "compute": self.run & (all_done | ~starved),
            "useful": sum(visits, 0),
            **{name: sum(bits, 0) for name, bits in causes.items()},
        }
        # Cleared as late as the first cycle is counted: a layer that follows at once leaves the
        # one before its last cycle.
        opened = Signal()
        m.d.sync += opened.eq(self.opening)
        for name, amount in amounts.items():
            # Registered, so that the long additions see short numbers.
            step = Signal(16, name=f"step_{name}")
            count = getattr(self.counts, name)
            m.d.sync += [
                step.eq(Mux(self.opening | self.running, amount, 0)),
                count.eq(Mux(opened, 0, count) + step),
            ]
        return m
