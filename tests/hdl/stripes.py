"""A cluster's share of a layer as the hardware sees it, for the tests of what walks its stripes."""

import random
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from compiler.passes import PassPlan
from golden.cycles.core import word_counts
from golden.cycles.schedule import Scan, scans
from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import Build
from tests.golden.scanning import (
    Entry,
    Place,
    Word,
    address_of,
    bank_of,
    entries,
    row_span,
    rows_out,
    scan_words,
    words_in,
)
from tests.layers import BUILDS, Case, cases, grouped_cases


@dataclass(frozen=True)
class Share:
    """What one cluster does of one pass of a layer, whose first load lies in a half."""

    build: Build
    case: Case
    d: PassDescriptor
    work: ClusterWork
    half: int = 0

    @cached_property
    def scans(self) -> list[Scan]:
        """Its scans, in order."""
        return list(scans(self.d, self.work))

    @property
    def passed(self) -> PassPlan:
        """The pass; of passes alike in all but what they are given, the first."""
        return next(p for p in self.case.plan.passes if p.descriptor == self.d)

    @property
    def x(self) -> np.ndarray:
        """The channels of the map that the pass is given."""
        given = self.passed.given
        return self.case.x[:, :, given.channel : given.channel + given.channels]

    @cached_property
    def counts(self) -> np.ndarray:
        """Non-zero pixels of each map word (H, W, col_words)."""
        return word_counts(self.build, self.x, self.d.in_zero)

    def channels(self, place: Place) -> list[int]:
        """Channels of a word's non-zero pixels."""
        first = place.word * self.build.word_pixels
        line = self.x[place.row, place.column, first : first + self.build.word_pixels]
        return [first + int(i) for i in np.flatnonzero(line != self.d.in_zero)]

    def words(self, scan: Scan) -> list[Word]:
        """What a scan reads."""
        return scan_words(self.build, self.d, self.work, scan.stripe, scan.tile)

    def entries(self, scan: Scan) -> list[Entry]:
        """Entries of the prefetch queue."""
        return entries(self.build, self.d, self.work, scan.stripe, self.channels, scan.tile)

    def weight_base(self, load: int) -> int:
        """Address of a load's first weight: the loads take turns at the halves."""
        return (self.half + load) % 2 * self.build.half_words

    def weight(self, scan: Scan, channel: int, tap: tuple[int, int]) -> int:
        """Address of a weight."""
        d = self.d
        inner = channel - words_in(d, self.work, scan.tile)[0] * self.build.word_pixels
        if d.depthwise:  # a lane has those of its own channel
            inner = 0
        return self.weight_base(scan.load) + (inner * d.kernel_h + tap[0]) * d.kernel_w + tap[1]

    def own_pixels(self, place: Place) -> list[int]:
        """The pixels of a word that belong to the lanes' own channels; 0 where there is none."""
        lanes, x = self.build.lanes_per_cluster, self.x[place.row, place.column]
        groups = self.build.word_pixels // lanes
        first = place.word * self.build.word_pixels + self.work.group % groups * lanes
        found = [int(value) - self.d.in_zero for value in x[first : first + lanes]]
        return found + [0] * (lanes - len(found))

    def word(self, place: Place, noise: random.Random) -> dict[str, Any]:
        """A map word; what is no pixel, or zero, may be anything."""
        word = garbage(self.build, noise)
        for channel in self.channels(place):
            i = channel % self.build.word_pixels
            word["mask"] |= 1 << i
            raw = int(self.x[place.row, place.column, channel])
            word["values"][i] = raw % (1 << self.build.act_bits)
        return word

    def address(self, place: Place) -> tuple[int, int]:
        """Bank, and word within it, of a map word."""
        return bank_of(self.build, self.d, place), address_of(self.build, self.d, place)

    def tag(self, scan: Scan, word: Word) -> dict[str, int]:
        """What goes with a word; an empty one has no `base`, `upper` and `lower`."""
        d, work = self.d, self.work
        rows = rows_out(d, scan.stripe)
        two = len(rows) == 2
        turn = (scan.stripe - work.first_stripe) // work.stripe_step % d.region
        tag = {
            "column_end": word.column_end,
            "retire": word.retire,
            "rows2": two,
            "item_end": word.item_end,
            "opens": scan.tile == 0 and not d.continues,
            "closes": scan.tile == d.tiles - 1 and not d.stays,
            "slots": turn * 2 * (d.window + 1),
        }
        if word.place is not None:
            kernel_rows = [word.place.row - (row * d.stride_h - d.pad_top) for row in rows]
            first_channel = word.place.word * self.build.word_pixels
            tag["base"] = self.weight(scan, first_channel, (kernel_rows[0], 0))
            tag["upper"] = 0 <= kernel_rows[0] < d.kernel_h
            tag["lower"] = two and 0 <= kernel_rows[1] < d.kernel_h
        return {name: int(value) for name, value in tag.items()}

    def rows(self, scan: Scan) -> range:
        """Input rows that must be there."""
        return row_span(self.d, scan.stripe)


def tiled(build: Build, tiles: int, **changes: Any) -> Share:
    """A share whose tiles are one map word each; its stripes take turns at them in regions."""
    pixels = build.word_pixels
    build = build.replace(weight_words=2 * 9 * pixels, acc_words=16, map_words=2048)
    defaults: dict[str, Any] = {"shape": (12, 4), "pads": (0, 1, 0, 1), "channels": build.lanes}
    defaults |= changes
    height, width = defaults.pop("shape")
    case = Case(build=build, shape=(height, width, (tiles - 1) * pixels + 1), **defaults)
    d = case.plan.descriptors[0]
    assert (d.tiles, d.resident) == (tiles, tiles <= 2)
    assert d.stripes > d.region > 1
    return Share(build, case, d, d.clusters[-1], half=1)


def garbage(build: Build, noise: random.Random) -> dict[str, Any]:
    """A map word without pixels, whose values mean nothing."""
    values = [noise.randrange(1 << build.act_bits) for _ in range(build.word_pixels)]
    return {"mask": 0, "values": values}


@st.composite
def shares(
    draw: Any, builds: tuple[Build, ...] = BUILDS, *, rows: int = 6, cols: int = 5, most: int = 4
) -> list[Share]:
    """Shares that one build has one after the other, of maps of either sign and any zero point."""
    build = draw(st.sampled_from(builds))
    found: list[Case] = []
    for _ in range(draw(st.integers(1, most))):
        case = draw(cases((build,), rows=rows, cols=cols) | grouped_cases((build,)))
        signed = draw(st.booleans())
        low, high = (-128, 127) if signed else (0, 255)
        wide = signed and build.act_bits == 16  # less any zero point, 17 bits
        zero = 0 if wide else draw(st.sampled_from((0, low, high, 3)))
        found.append(replace(case, signed=signed, in_zero=zero))
    # Each case was planned for banks of its own size.
    build = build.replace(map_words=max(case.build.map_words for case in found))
    picked: list[Share] = []
    for case in found:
        d = draw(st.sampled_from(case.plan.descriptors))
        work = draw(st.sampled_from([work for work in d.clusters if work.active]))
        half = 0 if d.alone else draw(st.integers(0, 1))
        picked.append(Share(build, case, d, work, half))
    return picked
