"""One scan of one cluster, word by word and step by step.

Written for reading: what a window touches is asked of every output, and the walker is one cycle
after the other. The cycle model and the hardware are compared with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import Build


class Visit(NamedTuple):
    """The pixel (row, column, channel) adds to the output (row, column), through a kernel tap."""

    pixel: tuple[int, int, int]
    output: tuple[int, int]
    tap: tuple[int, int]


class Retire(NamedTuple):
    """The output (row, column) is finished."""

    output: tuple[int, int]


Step = Visit | Retire


class Place(NamedTuple):
    """A map word of the input: row, column, and which word of the column."""

    row: int
    column: int
    word: int


@dataclass(frozen=True, kw_only=True)
class Word:
    """An entry of the prefetch queue; `place` is None for an empty word."""

    place: Place | None
    x: int
    column_end: bool
    retire: bool
    item_end: bool


def rows_out(d: PassDescriptor, stripe: int) -> list[int]:
    """Output rows of a stripe."""
    return [row for row in (2 * stripe, 2 * stripe + 1) if row < d.out_rows]


def rows_in(d: PassDescriptor, stripe: int) -> list[int]:
    """Input rows that these touch."""
    touched = {
        row * d.stride_h - d.pad_top + ky for row in rows_out(d, stripe) for ky in range(d.kernel_h)
    }
    return sorted(touched & set(range(d.in_rows)))


def row_span(d: PassDescriptor, stripe: int) -> range:
    """These from the first to the last; of none, at the edge of the map that is nearer."""
    rows = rows_in(d, stripe)
    if rows:
        return range(rows[0], rows[-1] + 1)
    edge = 0 if 2 * stripe * d.stride_h < d.pad_top else d.in_rows
    return range(edge, edge)


def columns_in(d: PassDescriptor, first: int, end: int) -> list[int]:
    """Input columns that output columns [first, end) touch, those outside the map included."""
    return sorted(
        {
            column * d.stride_w - d.pad_left + kx
            for column in range(first, end)
            for kx in range(d.kernel_w)
        }
    )


def words_in(d: PassDescriptor, work: ClusterWork, tile: int) -> range:
    """Words of a column that belong to a tile of a cluster's input channels."""
    own = d.first_word + work.slice * d.slice_words
    words = range(own, own + d.slice_words)
    return words[tile * d.tile_words :][: None if tile == d.tiles - 1 else d.tile_words]


def bank_of(build: Build, d: PassDescriptor, place: Place) -> int:
    """Bank in which the intake puts a word."""
    shift = place.row + d.scan_rows * place.column
    return (place.word + d.col_words * shift) % build.clusters


def address_of(build: Build, d: PassDescriptor, place: Place) -> int:
    """Word within the bank in which the intake puts a word: 2**pack columns share theirs."""
    row = place.row % d.ring_rows * d.row_pitch
    if d.pack:
        return row + place.column // (1 << d.pack)
    return row + place.column * d.col_pitch + place.word // build.clusters


def scan_words(
    build: Build, d: PassDescriptor, work: ClusterWork, stripe: int, tile: int = 0
) -> list[Word]:
    """Entries of the prefetch queue: columns outside the map are one empty word each.

    Behind each word come as many empty ones as it takes to be at the bank of the next; behind the
    last of a column, at that of the next column, be it there or not.
    """
    rows, tile_words = rows_in(d, stripe), words_in(d, work, tile)
    columns = columns_in(d, work.first_col, work.end_col)
    and_next = columns_in(d, work.first_col, work.end_col + 1)
    retires = {
        column * d.stride_w - d.pad_left + d.kernel_w - 1
        for column in range(work.first_col, work.end_col)
    }
    words = []
    for x in columns:
        places: list[Place | None] = [None]
        if rows and 0 <= x < d.in_cols:
            places = []
            onward = and_next[and_next.index(x) + 1]
            scan = [Place(y, x, w) for y in rows for w in tile_words]
            following = [*scan[1:], Place(rows[0], onward, tile_words[0])]
            for place, then in zip(scan, following, strict=True):
                places.append(place)
                gap = bank_of(build, d, then) - bank_of(build, d, place) - 1
                places += [None] * (gap % build.clusters)
        for n, place in enumerate(places, 1):
            end = n == len(places)
            words.append(
                Word(
                    place=place,
                    x=x,
                    column_end=end,
                    retire=x in retires,
                    item_end=end and x == columns[-1],
                )
            )
    return words


@dataclass
class Entry:
    """What a word makes the walker do: the visits of each of its pixels, and a token."""

    word: Word
    pixels: list[list[Step]] = field(default_factory=list)
    token: list[Step] = field(default_factory=list)


def entries(
    build: Build,
    d: PassDescriptor,
    work: ClusterWork,
    stripe: int,
    channels: Callable[[Place], list[int]],
    tile: int = 0,
) -> list[Entry]:
    """A stripe's entries; `channels` names the channels of a word's non-zero pixels."""
    rows = rows_out(d, stripe)
    result = []
    for word in scan_words(build, d, work, stripe, tile):
        entry = Entry(word)
        result.append(entry)
        if word.place is not None:
            taps = _taps(d, work, rows, word.place)
            found = channels(word.place)
            # In a depthwise pass the first one stands for all of the word.
            for channel in found[:1] if d.depthwise else found:
                pixel = (word.place.row, word.place.column, channel)
                entry.pixels.append([Visit(pixel, output, tap) for output, tap in taps])
        if word.column_end and word.retire:
            column = (word.x + d.pad_left - d.kernel_w + 1) // d.stride_w
            entry.token = [Retire((row, column)) for row in rows]
    return result


def parts(found: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """What comes before the first word inside the map, and from it on."""
    at = next((n for n, entry in enumerate(found) if entry.word.place is not None), len(found))
    return found[:at], found[at:]


def _taps(
    d: PassDescriptor, work: ClusterWork, rows: list[int], place: Place
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Outputs that a place touches, and through which taps: by rows, then by taps."""
    found = []
    for row in rows:
        ky = place.row - (row * d.stride_h - d.pad_top)
        for kx in range(d.kernel_w):
            column, between = divmod(place.column + d.pad_left - kx, d.stride_w)
            seen = work.first_col <= column < work.end_col
            if 0 <= ky < d.kernel_h and seen and not between:
                found.append(((row, column), (ky, kx)))
    return found


class Cycle(NamedTuple):
    """One cycle of the walker.

    `step` is made; `pop`: the head is taken; `token`: a token is; `due`: one is there.
    """

    step: Step | None
    pop: bool
    token: bool
    due: bool


class SlowWalker:
    """The walker by its docstring: one pixel or token is carried out, one step per cycle.

    In the cycle of its last step, or when there is none, the next one is taken from the head of
    the queue. A word without pixels goes in one cycle, whatever is being carried out.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.taken = 0

    def cycle(self, head: Entry | None, *, gate: bool) -> Cycle:
        """Go on by one cycle; a token is held up where `gate` is not open."""
        step = self.steps.pop(0) if self.steps else None
        free = not self.steps
        if head is None:
            return Cycle(step, False, False, False)
        if self.taken < len(head.pixels):
            pop = False
            if free:
                self.steps = list(head.pixels[self.taken])
                self.taken += 1
                pop = self.taken == len(head.pixels) and not head.token
            token = due = False
        else:
            due = bool(head.token)
            token = due and gate and free
            if token:
                self.steps = list(head.token)
            pop = token or not due
        if pop:
            self.taken = 0
        return Cycle(step, pop, token, due)


def play(
    queue: list[Entry], arrivals: Sequence[int] | None = None, hold: int | None = None
) -> tuple[list[int], int]:
    """Cycles of the tokens, and steps that are visits.

    Words arrive in the cycles `arrivals`; one per cycle from 0 on if absent. Token `hold` is never
    let through; its cycle is the first in which it is due and no step made.
    """
    arrivals = range(len(queue)) if arrivals is None else arrivals
    wanted = sum(bool(entry.token) for entry in queue) if hold is None else hold + 1
    walker, tokens, visits, at = SlowWalker(), [], 0, 0
    for now in count():
        if len(tokens) == wanted:
            break
        head = queue[at] if at < len(queue) and arrivals[at] <= now else None
        cycle = walker.cycle(head, gate=len(tokens) != hold)
        visits += isinstance(cycle.step, Visit)
        at += cycle.pop
        if cycle.token or (cycle.due and len(tokens) == hold and cycle.step is None):
            tokens.append(now)
    return tokens, visits
