"""What goes through a cluster's scan: bank reads, tagged map words, and the place in a stripe."""

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data

from golden.params import Build
from hdl.layouts import map_word

#: More than any phase.
_NO_PHASE = 7


def bank_bits(build: Build) -> int:
    """Bits that name a bank; at least one, so that a single bank has a name too."""
    return max(1, (build.clusters - 1).bit_length())


def read_request(build: Build) -> data.StructLayout:
    """Layout of one bank read: which bank, a bit each, and the word in it, for every bank.

    All is 0 but for the bank that is read, so that requests of several clusters are added up.
    """
    address = range(build.map_words)
    return data.StructLayout(
        {"banks": build.clusters, "addresses": data.ArrayLayout(address, build.clusters)}
    )


def scan_tag(build: Build) -> data.StructLayout:
    """Layout of what goes with a map word through the prefetch queue.

    base: weight address of the word's first pixel for the stripe's first output row, at kernel
    column 0. upper, lower: the word's row touches that output row. column_end: last word of a scan
    column. retire: that column finishes an output column. rows2: the stripe has two output rows.
    item_end: last word of the scan. opens, closes: first and last tile of input channels. slots:
    first accumulator of the stripe. The pixels of an empty word are all 0, and its base and rows
    may be anything.
    """
    return data.StructLayout(
        {
            "base": unsigned(13),
            "upper": 1,
            "lower": 1,
            "column_end": 1,
            "retire": 1,
            "rows2": 1,
            "item_end": 1,
            "opens": 1,
            "closes": 1,
            "slots": range(build.acc_words),
        }
    )


def scan_entry(build: Build) -> data.StructLayout:
    """Layout of one entry of the prefetch queue."""
    return data.StructLayout({"word": map_word(build), "tag": scan_tag(build)})


class ScanColumn:
    """A scan column, counted from the stripe's first: stride_w x newest + phase.

    Phases that the kernel does not reach are passed over.

    Tap i of it is kernel column i x stride_w + phase, through which output column newest - i sees
    it, as far as there are such a kernel column and such an output.

    Parameters
    ----------
    m : gets the registers; those that do not change during a pass are right from the second cycle
        of a stable configuration on
    config, work : the pass, and the cluster's share of it (`hdl.layouts`)
    name : prefix of the registers' names
    """

    def __init__(self, m: Module, config: Any, work: Any, name: str):
        self.newest = Signal(13, name=f"{name}_newest")
        self.phase = Signal(2, name=f"{name}_phase")
        #: Output columns of the stripe.
        self.columns = Signal(12, name=f"{name}_columns")
        self._final = Signal(13, name=f"{name}_final")  # `newest` of the last column
        # The last phases before a jump, none without jumps, and before the next output.
        self._before_jump = Signal(3, name=f"{name}_before_jump")
        self._last_phase = Signal(2, name=f"{name}_last_phase")
        self._config = config
        m.d.sync += [
            self.columns.eq(work.end_col - work.first_col),
            self._final.eq(work.end_col - work.first_col + config.last_tap - 1),
            self._before_jump.eq(Mux(config.jump_columns == 1, _NO_PHASE, config.kernel_w - 1)),
            self._last_phase.eq(config.stride_w - 1),
        ]

    def start(self) -> list:
        """Go to the first column of a stripe."""
        return [self.newest.eq(0), self.phase.eq(0)]

    def step(self) -> list:
        """Go to the next column."""
        wraps = self._wraps(self.phase)
        return [
            self.phase.eq(Mux(wraps, 0, self.phase + 1)),
            self.newest.eq(self.newest + wraps),
        ]

    def _wraps(self, phase: Value) -> Value:
        """Whether the phase is the last of an output."""
        return (phase == self._before_jump) | (phase == self._last_phase)

    def taps(self) -> Value:
        """Return how many taps the kernel has at this phase."""
        return self._config.taps.word_select(self.phase, 3)

    def retires(self) -> Value:
        """Whether the column is the last that an output column sees."""
        return (self.phase == self._config.last_phase) & (self.newest >= self._config.last_tap)


class AnnouncedScanColumn(ScanColumn):
    """A scan column whose further properties are registers, for a step in every cycle.

    They are right if the column was started in this pass, in its second cycle or later.

    Parameters
    ----------
    m, config, work, name : see `ScanColumn`
    """

    def __init__(self, m: Module, config: Any, work: Any, name: str):
        super().__init__(m, config, work, name)
        #: It is the last that an output sees, and the next one is not in use.
        self.jumps = Signal(name=f"{name}_jumps")
        #: It is the stripe's last.
        self.is_last = Signal(name=f"{name}_is_last")
        self._wrap = Signal(name=f"{name}_wrap")
        self._before_final = Signal.like(self._final, name=f"{name}_before_final")
        m.d.sync += self._before_final.eq(self._final - 1)

    def start(self) -> list:
        """Go to the first column of a stripe."""
        return [*super().start(), *self._announce(Const(0, 2), self._final == 0)]

    def step(self) -> list:
        """Go to the next column."""
        phase = self._next_phase()
        in_last = Mux(self._wrap, self.newest == self._before_final, self.newest == self._final)
        newest = self.newest + self._wrap
        return [self.phase.eq(phase), self.newest.eq(newest), *self._announce(phase, in_last)]

    def jumps_after_step(self) -> Value:
        """What `jumps` is of the next column."""
        return self._next_phase() == self._before_jump

    def _next_phase(self) -> Value:
        return Mux(self._wrap, 0, self.phase + 1)[:2]

    def _announce(self, phase: Value, in_last: Value) -> list:
        """A column of that phase comes, one of the last output's or not."""
        return [
            self.jumps.eq(phase == self._before_jump),
            self._wrap.eq(self._wraps(phase)),
            self.is_last.eq((phase == self._config.last_phase) & in_last),
        ]
