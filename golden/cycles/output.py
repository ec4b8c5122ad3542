"""How finished columns leave the core: the timing of `hdl.drain` to `hdl.encoder`."""

import numpy as np

from golden.descriptor import PassDescriptor
from golden.params import PICK_TO_CHUNK, Build, ceil_div

SPARSITY_GROUP = 16

#: From the cycle after the writer's last for a packet to the pick that finds its room free.
RETURN_TO_PICK = 1


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
        lanes = d.team_groups * build.lanes_per_cluster
        packets = ceil_div(lanes, SPARSITY_GROUP)
        ends = np.minimum((np.arange(packets) + 1) * SPARSITY_GROUP, lanes)
        #: Chunks of each packet of a row.
        self.packet_chunks = np.diff(ends // build.drain, prepend=0).tolist()
        #: From the cycle that picks a packet's last chunk to the one in which the writer takes it.
        self.latency = PICK_TO_CHUNK + build.requant_latency + build.encoder_latency
        self.words = {group: self._packet_words(y, group, packets) for group in self._groups()}
        #: For each packet, the cycle after the writer's last one for it.
        self.written: list[int] = []

    def _groups(self) -> set[int]:
        """The first group of every team."""
        return {self.d.clusters[c].group for c in self.d.leads}

    def _packet_words(self, y: np.ndarray, group: int, packets: int) -> np.ndarray:
        """Bus words that each packet of the teams with that first group completes.

        Returns
        -------
        ndarray of int, shape (H', W', packets)
        """
        lanes = self.build.lanes_per_cluster
        y = y[:, :, group * lanes : (group + self.d.team_groups) * lanes]
        height, width, channels = y.shape
        full = np.zeros((height, width, packets * SPARSITY_GROUP), bool)
        full[:, :, :channels] = y != self.d.out_zero
        values = full.reshape(height, width, packets, SPARSITY_GROUP).sum(axis=3)
        sizes = 2 + values * self.build.act_bytes
        shrink = 2 if self.d.pool else 1
        words = np.zeros_like(sizes)
        for lead in self.d.leads:
            work = self.d.clusters[lead]
            if work.group != group or work.first_stripe:
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

    def add(self, first_pick: int, group: int, stripe: int, column: int, rows: int) -> int:
        """Send a team's column on its way whose first chunk may be picked in a cycle.

        `group` is the team's first.

        Returns
        -------
        int
            Cycles until its last chunk has been picked. A packet starts one cycle or more after
            the writer has finished the packet that gives it its room.
        """
        if self.d.pool:
            row, column = stripe, column // 2
        else:
            row = 2 * stripe
        room, latency, written = self.build.output_packets, self.latency, self.written
        now = first_pick
        free = written[-1] if written else 0
        for words in self.words[group][row : row + rows, column].tolist():
            for chunks, count in zip(self.packet_chunks, words, strict=True):
                if len(written) >= room:
                    now = max(now, written[-room] + RETURN_TO_PICK)
                now += chunks
                free = max(now - 1 + latency, free) + max(1, count)
                written.append(free)
        return now - first_pick

    def last_word(self) -> int:
        """The cycle in which the latest packet's last word is taken; 0 if there was none."""
        return self.written[-1] if self.written else 0
