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

    The first rule that holds: no pass runs: `weights`; all clusters are done: `drain`; every
    cluster waits for weights or input rows or is done: `weights` if one waits for weights, else
    `bus`; a visit: `busy`; a retire step, or a token that waits for the shadow registers: `drain`;
    waiting for weights: `weights`; waiting for input rows: `bus`; done, or without work:
    `imbalance`; else `decode`. `compute` leaves out the cycles of the first and the third rule;
    `useful` counts the operations of all visits, in which `users` lanes take part.

    A layer counts from the cycle that takes the first word of its control stream, or, if the layer
    before still runs then, from the cycle after that one's last, to its own last.

    Members
    -------
    run : see `hdl.control.ControlLoader`
    opening : the first word of a layer is taken
    running : a layer has begun, in an earlier cycle
    ending : last cycle of a layer
    visiting, users, retiring, blocked, waiting, hungry, done : per cluster
    counts : the counters of the layer that ended last, from two cycles after its end on
    """

    def __init__(self, build: Build):
        self._build = build
        n = build.clusters
        super().__init__(
            {
                "run": In(1),
                "opening": In(1),
                "running": In(1),
                "ending": In(1),
                "visiting": In(n),
                "users": In(data.ArrayLayout(CLUSTER_CONFIG["lanes"].width, n)),
                "retiring": In(n),
                "blocked": In(n),
                "waiting": In(n),
                "hungry": In(n),
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
        hungry = wait & self.hungry
        with m.If(~self.run):
            m.d.comb += causes["weights"].eq(everywhere)
        with m.Elif(all_done):
            m.d.comb += causes["drain"].eq(everywhere)
        with m.Elif(starved & hungry.any()):
            m.d.comb += causes["weights"].eq(everywhere)
        with m.Elif(starved):
            m.d.comb += causes["bus"].eq(everywhere)
        with m.Else():
            stuck = (self.retiring | self.blocked) & ~self.visiting
            m.d.comb += [
                causes["busy"].eq(self.visiting),
                causes["drain"].eq(stuck),
                causes["weights"].eq(hungry),
                causes["bus"].eq(wait & ~hungry),
                causes["imbalance"].eq(self.done & ~working),
                causes["decode"].eq(~(working | wait | self.done)),
            ]

        visits = (
            Mux(visiting, users, 0)
            for visiting, users in zip(self.visiting, self.users, strict=True)
        )
        amounts = {
            "cycles": 1,
            "compute": self.run & (all_done | ~starved),
            "useful": sum(visits, 0),
            **{name: sum(bits, 0) for name, bits in causes.items()},
        }
        ended = Signal()
        m.d.sync += ended.eq(self.ending)
        for name, amount in amounts.items():
            # Registered, so that the long additions see short numbers.
            step = Signal(16, name=f"step_{name}")
            count = Signal(COUNTER_BITS, name=f"count_{name}")
            total = count + step
            m.d.sync += [
                step.eq(Mux(self.opening | self.running, amount, 0)),
                count.eq(Mux(ended, 0, total)),
            ]
            with m.If(ended):
                m.d.sync += getattr(self.counts, name).eq(total)
        return m
