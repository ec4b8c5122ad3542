"""When the last word leaves the core: the timing of `hdl.drain` to `hdl.encoder`."""

import numpy as np

from golden.descriptor import PassDescriptor
from golden.params import Build, ceil_div

SPARSITY_GROUP = 16


class OutputTiming:
    """The packets of one pass on their way out.

    A packet (a sparsity map and its values) is complete at the encoder a fixed time after its last
    chunk was picked; it then occupies the writer for max(1, words that it completes) cycles.

    Parameters
    ----------
    y : ndarray of int, shape (H', W', C)
        Raw output map of the pass's block.
    """

    def __init__(self, build: Build, d: PassDescriptor, y: np.ndarray):
        self.build, self.d = build, d
        self.chunks = build.lanes_per_cluster // build.drain
        lanes = d.groups * build.lanes_per_cluster
        packets = ceil_div(lanes, SPARSITY_GROUP)
        ends = np.minimum((np.arange(packets) + 1) * SPARSITY_GROUP, lanes)
        #: Chunks of a row up to the end of each packet.
        self.packet_ends = ends // build.drain
        self.words = self._packet_words(y, packets)
        self.jobs: list[tuple[int, int, int]] = []

    def _packet_words(self, y: np.ndarray, packets: int) -> np.ndarray:
        """Bus words that each packet completes: (H', W', packets)."""
        height, width, channels = y.shape
        full = np.zeros((height, width, packets * SPARSITY_GROUP), bool)
        full[:, :, :channels] = y != self.d.out_zero
        values = full.reshape(height, width, packets, SPARSITY_GROUP).sum(axis=3)
        sizes = 2 + values * self.build.act_bytes
        shrink = 2 if self.d.pool else 1
        words = np.zeros_like(sizes)
        for work in self.d.clusters:
            if not work.active or work.group or work.first_stripe:
                continue
            columns = slice(work.first_col // shrink, work.end_col // shrink)
            segment = sizes[:, columns].reshape(height, -1)
            after = segment.cumsum(axis=1)
            bus = self.build.bus_bytes
            done = after // bus
            done[:, -1] = -(-after[:, -1] // bus)
            before = (after - segment) // bus
            words[:, columns] = (done - before).reshape(height, -1, packets)
        return words

    def add(self, first_pick: int, stripe: int, column: int, rows: int) -> int:
        """Note a column whose first chunk is picked in a cycle; return the cycles that it takes."""
        if self.d.pool:
            row, column = stripe, column // 2
        else:
            row = 2 * stripe
        per_row = self.d.groups * self.chunks
        self.jobs += [(first_pick + i * per_row, row + i, column) for i in range(rows)]
        return rows * per_row

    def last_word(self) -> int:
        """The cycle in which the pass's last word is taken."""
        build = self.build
        first, row, column = np.array(self.jobs, np.int64).T
        latency = 1 + build.requant_latency + build.encoder_latency
        ready = (first[:, None] + self.packet_ends - 1 + latency).ravel()
        busy = np.maximum(1, self.words[row, column]).ravel()
        total = np.cumsum(busy)
        # end[i] = max(ready[i], end[i - 1]) + busy[i], unrolled
        return int(total[-1] + np.max(ready - (total - busy)))
