"""One pass, event by event, and the loader that is up to one pass ahead of it."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from golden.cycles.output import OutputTiming
from golden.cycles.scan import StripeScan, scan_stripe
from golden.cycles.schedule import Scan, scans
from golden.descriptor import ClusterWork, PassDescriptor, descriptor_words
from golden.params import (
    FETCH_LATENCY,
    INTAKE_START,
    LANE_LATENCY,
    PICK_TO_RELEASE,
    PICK_TO_SHADOW,
    Build,
    ceil_div,
)

#: From a scan's rows or weights standing there, or its first row being sought out, to its start.
READY_TO_SCAN = 1
#: From `arm`, or the start of the scan before, to a scan's first row being sought.
SEEK = 2
#: From a scan's start to its first read.
STRIPE_SETUP = 2
#: From a read to the word standing at the head of the prefetch queue.
READ_TO_HEAD = FETCH_LATENCY + 1
#: From the end of a scan to the intake seeing that its rows are free.
FREE_ROWS = 3
#: From the end of a scan to the loader seeing that its weights are free.
FREE_WEIGHTS = 2
#: From a retire token to its lane step.
TOKEN_TO_STEP = 1
#: From the last lane step of a column to the first pick of it.
STEP_TO_PICK = LANE_LATENCY - PICK_TO_SHADOW
#: From the last word on `o_map` to the end of the pass.
LAST_TO_FINISH = 2
#: From the last row standing in the banks to the end of the pass, if nothing else is left to do.
ROWS_TO_FINISH = 1
#: From the last cluster being done to the end of the pass, if nothing leaves the core.
DONE_TO_FINISH = 2
#: From the end of a pass, or the last parameter of the next, to the next one's `arm`.
ARM = 3

NEVER = 1 << 62

#: Scans of passes that differ in nothing that a scan's timing depends on: by stripe, tile, slice
#: and columns.
Scanned = dict[tuple[int, int, int, int, int], StripeScan]


@dataclass(frozen=True, kw_only=True)
class PassStart:
    """How a pass begins.

    `first_word` is the cycle that takes the first word of its descriptor, `armed` that of `arm`;
    from `seeks` on the loader looks for room for the next load; `loaded` loads are there by then.
    """

    first_word: int
    armed: int
    seeks: int
    loaded: int


class Loader:
    """The timing of `hdl.control` between passes."""

    def __init__(self, build: Build):
        self.build = build
        self.free = 0  # cycle from which it can take a descriptor
        self.before: tuple[PassDescriptor, PassRun] | None = None

    def load_cycles(self, d: PassDescriptor, load: int) -> int:
        """Words of a load."""
        beats = ceil_div(self.build.lanes_per_cluster, self.build.weights_per_beat)
        last = load % d.tiles == d.tiles - 1
        return d.groups * beats * (d.last_weights if last else d.tile_weights)

    def take(self, d: PassDescriptor, ended: int) -> PassStart:
        """Take a descriptor, parameters and, if there is room already, the first load.

        `ended` is the last cycle of the pass before, -1 if there is none.
        """
        parameters = 2 * self.build.lanes_per_cluster * d.groups
        known = self.free + descriptor_words(self.build) + parameters  # after the last parameter
        armed = max(known, ended + 1) + ARM - 1
        start = PassStart(first_word=self.free, armed=armed, seeks=max(known, armed), loaded=0)
        if self.before is None or d.alone or self.before[0].alone:
            return start
        room = max(known, self.before[1].freed(self.before[0].loads - 1))
        if room > ended:
            return start
        seeks = room + self.load_cycles(d, 0) + 1
        return PassStart(first_word=self.free, armed=armed, seeks=seeks, loaded=1)

    def leave(self, d: PassDescriptor, run: "PassRun") -> None:
        """Go on to the descriptor after a pass's loads."""
        self.free = max(run.loads_end, run.start.armed)
        self.before = d, run


class Team:
    """The clusters that scan the same pixels, and where they are."""

    def __init__(self, lead: int, work: ClusterWork, lanes: int, d: PassDescriptor):
        self.lead, self.work, self.lanes = lead, work, lanes
        self.scans = list(scans(d, work))
        self.item = 0
        self.timing: StripeScan | None = None
        self.token = 0
        self.inside = 0  # cycle in which the scan's first word inside the map is at the head
        # The column in the shadow registers: stripe, column, rows.
        self.job: tuple[int, int, int] = (0, 0, 0)
        self.seek_ready = 0
        self.waits_from = 0
        self.waiting = True
        self.gate: int | None = 0  # cycle from which the shadow registers are free
        self.held: tuple[int, int] | None = None  # a token held up: (earliest, idle from)
        # The lowest input row that it still needs, as far as the intake sees; None if none.
        self.floor: int | None = self.scans[0].floor
        self.freed = 0  # loads that it has finished with, as far as the loader sees
        self.done = 0
        self.busy = self.operations = self.drain = 0
        self.waits: list[tuple[int, int]] = []
        self.hungers: list[tuple[int, int]] = []
        self.last_step = 0  # last cycle of the token steps so far

    @property
    def scan(self) -> Scan | None:
        """The scan at hand, or the next; None after the last."""
        return self.scans[self.item] if self.item < len(self.scans) else None


class PassRun:
    """Event-driven model of one pass."""

    def __init__(
        self,
        build: Build,
        d: PassDescriptor,
        counts: np.ndarray,
        scanned: Scanned,
        rows: np.ndarray,
        output: OutputTiming,
        start: PassStart,
    ):
        self.build, self.d, self.counts, self.scanned = build, d, counts, scanned
        self.rows, self.output, self.start = rows, output, start
        #: First cycle in which the pass runs.
        self.from_cycle = start.armed + 1
        #: Last cycle of the pass.
        self.finish = 0
        self.teams = [
            Team(c, work, sum(w.lanes for w in d.clusters if w.active and w.team == work.team), d)
            for c, work in enumerate(d.clusters)
            if c in d.leads
        ]
        self.events: list[tuple[int, int, int, Callable[[int], None]]] = []
        self.order = 0
        # Input rows that a scan may find in the banks, rows that the intake has begun, and those
        # that it may load.
        self.rows_stand = 0 if d.load_map else d.in_rows
        self.begun = 0
        self.limit = 0
        self.intake_at: int | None = None
        self.map_taken = 0  # cycle in which the latest row stands in the banks
        # The loader: the load that it is at, from when it looks for room, the cycle from which each
        # load is there, and, for each number of freed loads, the cycle in which the loader sees it.
        self.load = start.loaded
        self.seeks = start.seeks
        self.there = [start.seeks] * start.loaded
        self.seen_free = {0: 0}
        self.loads_end = start.seeks
        self.pending: dict[int, Team] = {}
        self.draining_until = -1
        self.turn = 0

    def at(self, cycle: int, action: Callable[[int], None], *, late: bool = False) -> None:
        """Let `action` happen in a cycle; late actions see what the early ones changed."""
        self.order += 1
        heapq.heappush(self.events, (cycle, late, self.order, action))

    def run(self) -> "PassRun":
        """Play the pass."""
        armed = self.start.armed
        for team in self.teams:
            team.waits_from = self.from_cycle
            team.seek_ready = armed + SEEK + team.scans[0].shape.low + READY_TO_SCAN
            self.at(max(team.waits_from, team.seek_ready), self._try_scan(team), late=True)
        for cycle in self.there:
            self.at(max(cycle + READY_TO_SCAN, self.from_cycle), self._wake, late=True)
        self.at(max(self.seeks, armed), self._try_load)
        if self.d.load_map:
            self._update_limit(0)
            self.intake_at = armed + INTAKE_START + 1
            self.at(self.intake_at, self._try_row, late=True)
        while self.events:
            cycle, _, _, action = heapq.heappop(self.events)
            action(cycle)
        self.finish = max(
            self.output.last_word() + LAST_TO_FINISH,
            self.map_taken + ROWS_TO_FINISH,
            max(team.done for team in self.teams) + DONE_TO_FINISH,
        )
        return self

    def freed(self, count: int) -> int:
        """The cycle in which the loader sees that so many loads are free; `NEVER` if not in time.

        Teams without scans left count as finished with every load.
        """
        return min((cycle for n, cycle in self.seen_free.items() if n >= count), default=NEVER)

    # The loader.

    def _try_load(self, cycle: int) -> None:
        if self.load == self.d.loads or cycle < max(self.seeks, self.start.armed):
            return
        if self.load >= 2 and self.freed(self.load - 1) > cycle:
            return
        self.seeks = cycle + Loader(self.build).load_cycles(self.d, self.load) + 1
        self.loads_end = self.seeks
        self.load += 1
        self.there.append(self.seeks)
        self.at(self.seeks, self._try_load)
        self.at(self.seeks + READY_TO_SCAN, self._wake, late=True)

    def _wake(self, cycle: int) -> None:
        """Let every team that waits look again."""
        for team in self.teams:
            if team.waiting:
                self.at(cycle, self._try_scan(team), late=True)

    def _free_weights(self, team: Team, loads: int, cycle: int) -> None:
        """Let the loader see from a cycle on that a team has finished with so many loads."""

        def action(cycle: int) -> None:
            team.freed = loads
            self.seen_free.setdefault(min(team.freed for team in self.teams), cycle)
            self._try_load(cycle)

        self.at(cycle, action)

    # The intake.

    def _update_limit(self, cycle: int) -> None:
        floors = [team.floor for team in self.teams if team.floor is not None]
        self.limit = min(floors) + self.d.ring_rows if floors else self.d.in_rows
        if self.intake_at is not None and self.intake_at <= cycle:
            self.at(cycle, self._try_row, late=True)

    def _free_rows(self, team: Team, cycle: int) -> None:
        """Let the intake see from a cycle on which rows a team still needs."""
        floor = team.scan.floor if team.scan else None

        def action(cycle: int) -> None:
            team.floor = floor
            self._update_limit(cycle)

        self.at(cycle, action)

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
        self.map_taken = cycle
        self.at(cycle + READY_TO_SCAN, self._row_stands)

    def _row_stands(self, cycle: int) -> None:
        self.rows_stand += 1
        self._wake(cycle)

    # The clusters.

    def _try_scan(self, team: Team) -> Callable[[int], None]:
        def action(cycle: int) -> None:
            scan = team.scan
            if not team.waiting or not scan or cycle < max(team.waits_from, team.seek_ready):
                return
            if self.rows_stand < scan.shape.high or scan.load >= len(self.there):
                return
            if self.there[scan.load] + READY_TO_SCAN > cycle:
                return
            team.waiting = False
            since = max(team.waits_from, team.last_step + 1)
            team.waits.append((since, cycle + 1))
            team.hungers.append((since, self.there[scan.load]))
            team.seek_ready = cycle + SEEK + READY_TO_SCAN
            if team.item + 1 < len(team.scans):
                team.seek_ready += max(0, team.scans[team.item + 1].shape.low - scan.shape.low)
            self._scan(team, scan, cycle)

        return action

    def _scan(self, team: Team, scan: Scan, cycle: int) -> None:
        d, work = self.d, team.work
        key = (scan.stripe, scan.tile, work.slice, work.first_col, work.end_col)
        if key not in self.scanned:
            self.scanned[key] = scan_stripe(self.build, d, work, scan.shape, self.counts, scan.tile)
        team.timing = timing = self.scanned[key]
        team.busy += timing.visits
        team.operations += timing.operations
        team.token = 0
        # The first read inside the map waits until the cluster owns the word's bank.
        first = cycle + STRIPE_SETUP
        read = first + timing.left_words
        first_word = d.first_word + work.slice * d.slice_words + scan.tile * d.tile_words
        bank = scan.shape.low * d.col_words + work.first_bank + first_word
        owned = read - (self.start.armed + 1) + work.team
        read += (bank - owned) % self.build.clusters
        team.inside = read + READ_TO_HEAD
        self._next_token(team, timing, first + READ_TO_HEAD if timing.left_tokens else team.inside)

    def _next_token(self, team: Team, timing: StripeScan, origin: int) -> None:
        """Time the next token from the one before, or from where its words begin."""
        held_up = 0
        if timing.left_tokens and team.token == timing.left_tokens:
            held_up = origin + timing.steps + 1
            origin += max(timing.steps - timing.lead, 1 + timing.left_gap)
            origin = max(team.inside, origin)
        earliest = origin + timing.earliest[team.token]
        idle = max(origin + timing.idle_from[team.token], held_up)
        team.held = (earliest, idle)
        self.at(earliest, self._try_token(team), late=True)

    def _try_token(self, team: Team) -> Callable[[int], None]:
        def action(cycle: int) -> None:
            if team.held is None or cycle < team.held[0]:
                return
            assert team.timing
            assert team.scan
            closes = team.scan.closes
            merges = self.d.pool and team.token % 2 == 1
            if closes and not merges:
                if team.gate is None or team.gate > cycle:
                    return
                team.drain += max(0, cycle - team.held[1])
            team.held = None
            fills = closes and (merges or not self.d.pool)
            self._retire(team, team.timing, team.scan, cycle, fills=fills)

        return action

    def _retire(
        self, team: Team, timing: StripeScan, scan: Scan, cycle: int, *, fills: bool
    ) -> None:
        team.drain += timing.steps
        team.last_step = cycle + TOKEN_TO_STEP + timing.steps - 1
        if fills:
            team.gate = None
            column = team.work.first_col + team.token
            job = (scan.stripe, column)
            self.at(
                team.last_step + STEP_TO_PICK - 1,
                lambda t: self._column_is_known(team, job, timing.steps, t),
            )
        team.token += 1
        if team.token < len(timing.earliest):
            self._next_token(team, timing, cycle)
            return
        if scan.freed:
            self._free_weights(team, scan.freed, cycle + FREE_WEIGHTS)
        team.item += 1
        self._free_rows(team, cycle + FREE_ROWS)
        if team.scan:
            team.waiting = True
            team.waits_from = cycle + 1
            self.at(max(team.waits_from, team.seek_ready), self._try_scan(team), late=True)
        else:
            team.done = cycle + 2
            self._free_weights(team, NEVER, team.done + 1)

    # The drain.

    def _column_is_known(self, team: Team, job: tuple[int, int], rows: int, cycle: int) -> None:
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
        length = self.output.add(cycle + 1, team.work.group, stripe, column, rows)
        # Picked in the cycles after this one; the next turn falls into the last of them.
        self.draining_until = cycle + length
        team.gate = cycle + length + PICK_TO_RELEASE + 1
        self.at(team.gate, self._try_token(team), late=True)
        self.at(self.draining_until, self._take_turn, late=True)
