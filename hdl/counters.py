"""Counters of a layer: cycles, useful operations, and the cause of every cluster-cycle."""

from types import SimpleNamespace

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.delay import delayed
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
    counts : the counters of the layer that ended last, from three cycles after its end on
    """

    def __init__(self, build: Build):
        self._build = build
        n = build.clusters
        self._inputs = {
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
        }
        super().__init__({**self._inputs, "counts": Out(COUNTER_LAYOUT)})

    def elaborate(self, platform):
        n = self._build.clusters
        m = Module()
        # The clusters may be far away, and nobody waits for the counters.
        now = SimpleNamespace(
            **{name: delayed(m, getattr(self, name), 1, name) for name in self._inputs}
        )

        causes = {name: Signal(n, name=f"is_{name}") for name in COUNTERS[3:]}
        all_done = now.done.all()
        wait = Signal(n)
        working = Signal(n)
        starved = Signal()
        m.d.comb += [
            working.eq(now.visiting | now.retiring | now.blocked),
            wait.eq(now.waiting & ~working),
            starved.eq(((wait | now.done) & ~working).all() & wait.any()),
        ]
        everywhere = (1 << n) - 1
        hungry = wait & now.hungry
        with m.If(~now.run):
            m.d.comb += causes["weights"].eq(everywhere)
        with m.Elif(all_done):
            m.d.comb += causes["drain"].eq(everywhere)
        with m.Elif(starved & hungry.any()):
            m.d.comb += causes["weights"].eq(everywhere)
        with m.Elif(starved):
            m.d.comb += causes["bus"].eq(everywhere)
        with m.Else():
            stuck = (now.retiring | now.blocked) & ~now.visiting
            m.d.comb += [
                causes["busy"].eq(now.visiting),
                causes["drain"].eq(stuck),
                causes["weights"].eq(hungry),
                causes["bus"].eq(wait & ~hungry),
                causes["imbalance"].eq(now.done & ~working),
                causes["decode"].eq(~(working | wait | now.done)),
            ]

        visits = (
            Mux(visiting, users, 0) for visiting, users in zip(now.visiting, now.users, strict=True)
        )
        amounts = {
            "cycles": 1,
            "compute": now.run & (all_done | ~starved),
            "useful": sum(visits, 0),
            **{name: sum(bits, 0) for name, bits in causes.items()},
        }
        ended = Signal()
        restart = Signal(init=1)  # a register's reset takes a wire of its own; hence no other
        m.d.sync += [ended.eq(now.ending), restart.eq(now.ending)]
        for name, amount in amounts.items():
            # Registered, so that the long additions see short numbers.
            step = Signal(16, name=f"step_{name}")
            count = Signal(COUNTER_BITS, name=f"count_{name}", reset_less=True)
            total = count + step
            m.d.sync += [
                step.eq(Mux(now.opening | now.running, amount, 0)),
                count.eq(Mux(restart, 0, total)),
            ]
            with m.If(ended):
                m.d.sync += getattr(self.counts, name).eq(total)
        return m
