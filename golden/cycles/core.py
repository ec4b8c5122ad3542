"""The cycle model: exact cycles and causes of a layer, from its data, without simulation.

The model and the hardware share the pass descriptor and nothing else. It holds where the streams
at the core's pins never stall; then no cluster's timing depends on another's, except that teams
take turns at the drain and that the intake waits for the rows that are still needed.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from golden.cycles.intake import row_cycles
from golden.cycles.output import OutputTiming
from golden.cycles.scan import StripeScan, StripeShape, left_columns, scan_stripe, stripe_shape
from golden.descriptor import ClusterWork, PassDescriptor, descriptor_words
from golden.params import FETCH_LATENCY, INTAKE_START, LANE_LATENCY, Build, ceil_div

#: From the cycle in which a stripe's rows are found to be there to the first read.
STRIPE_SETUP = 2
#: From a read to the word standing at the head of the prefetch queue.
READ_TO_HEAD = FETCH_LATENCY + 1
#: From the end of a stripe to the intake seeing that its rows are free.
FREE_ROWS = 3
#: From a retire token to its lane step.
TOKEN_TO_STEP = 1
#: From the last word on `o_map` to the end of the pass.
LAST_TO_FINISH = 2
#: From the last row standing in the banks to the end of the pass, if nothing else is left to do.
ROWS_TO_FINISH = 1


@dataclass(kw_only=True)
class Counts:
    """The core's counters, see `hdl.counters`: cycles, operations, and cluster-cycles by cause."""

    cycles: int = 0
    compute: int = 0
    useful: int = 0
    busy: int = 0
    decode: int = 0
    weights: int = 0
    drain: int = 0
    imbalance: int = 0
    bus: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


def word_counts(build: Build, x: np.ndarray, zero_point: int) -> np.ndarray:
    """Non-zero pixels of each map word: (H, W, col_words) from raw values (H, W, C)."""
    height, width, channels = x.shape
    words = ceil_div(channels, build.word_pixels)
    mask = np.zeros((height, width, words * build.word_pixels), np.uint8)
    mask[:, :, :channels] = x != zero_point
    return mask.reshape(height, width, words, build.word_pixels).sum(axis=3, dtype=np.int64)


def control_words(build: Build, d: PassDescriptor) -> int:
    """Words of a pass's control stream."""
    beats = ceil_div(build.lanes_per_cluster, build.weights_per_beat)
    group = 2 * build.lanes_per_cluster + d.weight_count * beats
    return descriptor_words(build) + d.groups * group


def layer_counts(
    build: Build,
    passes: Sequence[PassDescriptor],
    x: np.ndarray,
    y: np.ndarray,
    in_ranges: Sequence[Sequence[tuple[int, int]]],
) -> Counts:
    """Predict the counters of one layer.

    Parameters
    ----------
    build, passes :
        The build and the layer's passes (`compiler.plan`).
    x, y : ndarray of int, shapes (H, W, Cin) and (H', W', Cout)
        Raw input and output map.
    in_ranges :
        For each block of the input map the column ranges into which its rows are cut.
    """
    counts = word_counts(build, x, passes[0].in_zero)
    scans: dict[tuple[int, int, int], StripeScan] = {}
    total = Counts()
    first = 0
    for d in passes:
        rows = row_cycles(build, d, counts, in_ranges)
        output = OutputTiming(build, d, y[:, :, first : first + d.out_channels])
        total += _Pass(build, d, counts, scans, rows, output).run()
        first += d.out_channels
    return total


class _Team:
    """The clusters that scan the same pixels, and where they are."""

    def __init__(self, lead: int, work: ClusterWork, lanes: int, d: PassDescriptor):
        self.lead, self.work, self.lanes = lead, work, lanes
        self.stripes = list(range(work.first_stripe, d.stripes, work.stripe_step))
        self.shapes: list[StripeShape] = [stripe_shape(d, s) for s in self.stripes]
        self.item = 0
        self.scan: StripeScan | None = None
        self.token = 0
        self.job: tuple[int, int, int] = (
            0,
            0,
            0,
        )  # the column in the shadow registers: stripe, column, rows
        self.seek_ready = 0
        self.waits_from = 0
        self.waiting = True
        self.gate: int | None = 0  # cycle from which the shadow registers are free
        self.held: tuple[int, int] | None = None  # a token held up: (earliest, idle from)
        self.done: int | None = None
        self.busy = self.drain = 0
        self.waits: list[tuple[int, int]] = []
        self.last_step = 0  # last cycle of the token steps so far
        # Lowest input row still needed, as far as the intake knows; None if none is.
        self.floor: int | None = self.lowest

    @property
    def lowest(self) -> int | None:
        """Lowest input row still needed; None if none is."""
        return self.shapes[self.item].low if self.item < len(self.shapes) else None


class _Pass:
    """Event-driven model of one pass; cycle 0 takes its first control word."""

    def __init__(
        self,
        build: Build,
        d: PassDescriptor,
        counts: np.ndarray,
        scans: dict[tuple[int, int, int], StripeScan],
        rows: np.ndarray,
        output: OutputTiming,
    ):
        self.build, self.d, self.counts, self.scans = build, d, counts, scans
        self.rows, self.output = rows, output
        self.armed = descriptor_words(build)
        self.run_from = control_words(build, d) + 1
        self.teams = [
            _Team(c, work, sum(w.lanes for w in d.clusters if w.active and w.team == work.team), d)
            for c, work in enumerate(d.clusters)
            if work.active and work.group == 0
        ]
        self.events: list[tuple[int, int, int, Callable[[int], None]]] = []
        self.order = 0
        # Input rows in the banks, rows that the intake has begun, rows that it may load.
        self.loaded = 0 if d.load_map else d.in_rows
        self.begun = 0
        self.limit = 0
        self.intake_at: int | None = None
        self.rows_stand = 0  # cycle from which all rows that have been loaded are in the banks
        self.pending: dict[int, _Team] = {}
        self.draining_until = -1
        self.turn = 0

    def at(self, cycle: int, action: Callable[[int], None], *, late: bool = False) -> None:
        """Let `action` happen in a cycle; late actions see what the early ones changed."""
        self.order += 1
        heapq.heappush(self.events, (cycle, late, self.order, action))

    def run(self) -> Counts:
        """Play the pass and add up."""
        for team in self.teams:
            team.waits_from = self.run_from + 1
            team.seek_ready = self.armed + 1 + team.shapes[0].low
            self.at(max(team.waits_from, team.seek_ready), self._try_stripe(team), late=True)
        if self.d.load_map:
            self._update_limit(0)
            self.intake_at = self.armed + INTAKE_START + 1
            self.at(self.intake_at, self._try_row, late=True)
        while self.events:
            cycle, _, _, action = heapq.heappop(self.events)
            action(cycle)
        return self._sum_up()

    # The intake.

    def _update_limit(self, cycle: int) -> None:
        floors = [team.floor for team in self.teams if team.floor is not None]
        self.limit = min(floors) + self.d.ring_rows if floors else self.d.in_rows
        if self.intake_at is not None and self.intake_at <= cycle:
            self.at(cycle, self._try_row, late=True)

    def _free_rows(self, team: _Team, floor: int | None) -> Callable[[int], None]:
        def action(cycle: int) -> None:
            team.floor = floor
            self._update_limit(cycle)

        return action

    def _try_row(self, cycle: int) -> None:
        row = self.begun
        if (
            self.intake_at is None
            or self.intake_at > cycle
            or row >= min(self.limit, self.d.in_rows)
        ):
            return
        self.intake_at = cycle + int(self.rows[row])
        self.begun += 1
        self.at(self.intake_at, self._row_loaded)
        self.at(self.intake_at, self._try_row, late=True)

    def _row_loaded(self, cycle: int) -> None:
        self.loaded += 1
        self.rows_stand = cycle
        for team in self.teams:
            if team.waiting:
                self.at(cycle, self._try_stripe(team), late=True)

    # The clusters.

    def _try_stripe(self, team: _Team) -> Callable[[int], None]:
        def action(cycle: int) -> None:
            if not team.waiting or cycle < max(team.waits_from, team.seek_ready):
                return
            shape = team.shapes[team.item]
            if self.loaded < shape.high:
                return
            team.waiting = False
            team.waits.append((max(team.waits_from, team.last_step + 1), cycle + 1))
            team.seek_ready = cycle + 1
            if team.item + 1 < len(team.shapes):
                team.seek_ready += team.shapes[team.item + 1].low - shape.low
            self._scan(team, cycle)

        return action

    def _scan(self, team: _Team, cycle: int) -> None:
        d, work = self.d, team.work
        stripe, shape = team.stripes[team.item], team.shapes[team.item]
        key = (stripe, work.first_col, work.end_col)
        if key not in self.scans:
            self.scans[key] = scan_stripe(self.build, d, work, shape, self.counts)
        team.scan = scan = self.scans[key]
        team.busy += scan.visits
        team.token = 0
        # The first read waits until the cluster owns the first word's bank.
        read = cycle + STRIPE_SETUP + left_columns(d, work)
        bank = shape.low * d.col_words + work.first_bank
        owned = read - (self.armed + 1) + work.team
        read += (bank - owned) % self.build.clusters
        self._next_token(team, scan, read + READ_TO_HEAD)

    def _next_token(self, team: _Team, scan: StripeScan, origin: int) -> None:
        earliest = origin + scan.earliest[team.token]
        idle = origin + scan.idle_from[team.token]
        team.held = (earliest, idle)
        self.at(earliest, self._try_token(team), late=True)

    def _try_token(self, team: _Team) -> Callable[[int], None]:
        def action(cycle: int) -> None:
            if team.held is None or cycle < team.held[0]:
                return
            merges = self.d.pool and team.token % 2 == 1
            if not merges:
                if team.gate is None or team.gate > cycle:
                    return
                team.drain += max(0, cycle - team.held[1])
            team.held = None
            assert team.scan
            self._retire(team, team.scan, cycle, fills=merges or not self.d.pool)

        return action

    def _retire(self, team: _Team, scan: StripeScan, cycle: int, *, fills: bool) -> None:
        team.drain += scan.steps
        team.last_step = cycle + TOKEN_TO_STEP + scan.steps - 1
        if fills:
            team.gate = None
            column = team.work.first_col + team.token
            job = (team.stripes[team.item], column)
            self.at(
                team.last_step + LANE_LATENCY,
                lambda t: self._column_stands(team, job, scan.steps, t),
            )
        team.token += 1
        if team.token < len(scan.earliest):
            self._next_token(team, scan, cycle)
            return
        team.item += 1
        self.at(cycle + FREE_ROWS, self._free_rows(team, team.lowest))
        if team.item < len(team.shapes):
            team.waiting = True
            team.waits_from = cycle + 1
            self.at(max(team.waits_from, team.seek_ready), self._try_stripe(team), late=True)
        else:
            team.done = cycle + 2

    # The drain.

    def _column_stands(self, team: _Team, job: tuple[int, int], rows: int, cycle: int) -> None:
        self.pending[team.lead] = team
        team.job = (*job, 1 if self.d.pool else rows)
        self.at(max(cycle, self.draining_until), self._take_turn, late=True)

    def _take_turn(self, cycle: int) -> None:
        if not self.pending or cycle < self.draining_until:
            return
        n = self.build.clusters
        lead = min(self.pending, key=lambda c: (c - self.turn - 1) % n)
        team = self.pending.pop(lead)
        self.turn = lead
        stripe, column, rows = team.job
        length = self.output.add(cycle + 1, stripe, column, rows)
        # Picked in the cycles after this one; the next turn falls into the last of them.
        self.draining_until = cycle + length
        team.gate = cycle + length + 1
        self.at(team.gate, self._try_token(team), late=True)
        self.at(self.draining_until, self._take_turn, late=True)

    # Adding up.

    def _sum_up(self) -> Counts:
        build, d = self.build, self.d
        n = build.clusters
        finish = max(self.output.last_word() + LAST_TO_FINISH, self.rows_stand + ROWS_TO_FINISH)
        all_done = max(team.done or 0 for team in self.teams)
        starved, waits = self._starved(all_done)
        span = all_done - self.run_from
        counts = Counts(
            cycles=finish + 1,
            compute=finish + 1 - self.run_from - starved,
            weights=self.run_from * n,
            drain=(finish + 1 - all_done) * n,
            bus=starved * n,
        )
        idle = n - len(self.teams) * d.groups
        counts.imbalance += idle * (span - starved)
        for team, waited in zip(self.teams, waits, strict=True):
            done = team.done or 0
            overlap = max(0, team.last_step + 1 - done)  # still retiring when done
            retired = team.drain - max(0, team.last_step + 1 - all_done)
            rest = max(0, all_done - done - overlap)
            starved_done = self._starved_when_done[team.lead]
            decode = span - team.busy - retired - rest - sum(b - a for a, b in team.waits if b > a)
            counts.useful += team.busy * team.lanes
            counts.busy += team.busy * d.groups
            counts.drain += retired * d.groups
            counts.bus += waited * d.groups
            counts.imbalance += (rest - starved_done) * d.groups
            counts.decode += decode * d.groups
        return counts

    def _starved(self, all_done: int) -> tuple[int, list[int]]:
        """Cycles in which every team waits for rows or is done; and each team's other waits."""
        marks: list[tuple[int, int, int]] = []  # cycle, change of quiet teams, of waiting teams
        for team in self.teams:
            marks += [m for a, b in team.waits if b > a for m in ((a, 1, 1), (b, -1, -1))]
            quiet = max(team.done or 0, team.last_step + 1)
            if quiet < all_done:
                marks += [(quiet, 1, 0), (all_done, -1, 0)]
        marks.sort()
        spans: list[tuple[int, int]] = []
        quiet = waiting = since = 0
        for cycle, more_quiet, more_waiting in marks:
            if quiet == len(self.teams) and waiting and cycle > since:
                spans.append((since, cycle))
            quiet += more_quiet
            waiting += more_waiting
            since = cycle

        def inside(a: int, b: int) -> int:
            return sum(max(0, min(b, end) - max(a, start)) for start, end in spans)

        waits = [sum(b - a - inside(a, b) for a, b in team.waits if b > a) for team in self.teams]
        self._starved_when_done = {
            team.lead: inside(max(team.done or 0, team.last_step + 1), all_done)
            for team in self.teams
        }
        return sum(b - a for a, b in spans), waits
