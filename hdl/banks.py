"""The map banks: the ring of input rows that all clusters read."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.delay import delayed
from hdl.layouts import map_piece, map_word, piece_number
from hdl.memory import Ram
from hdl.scan import bank_bits, read_request


class MapBanks(wiring.Component):
    """One memory per cluster and piece of a word, one write and up to one read in each per cycle.

    A cluster reads only the bank that it owns in that cycle (`hdl.fetcher`), so requests never
    meet, except those of one team, which are the same. The answer to a request stands on `words`
    two cycles later. A word that is written in cycle t may be read from t + 2 on, not in t + 1.

    Members
    -------
    w_en, w_bank, w_address, w_part, w_piece : the write port; of the pieces of a word, those before
        `w_part` stay, and those behind it become empty
    requests : one per cluster
    words : the answers, one per cluster; empty where nothing was requested
    """

    def __init__(self, build: Build):
        self._build = build
        self._word = map_word(build)
        super().__init__(
            {
                "w_en": In(1),
                "w_bank": In(bank_bits(build)),
                "w_address": In(range(build.map_words)),
                "w_part": In(piece_number(build)),
                "w_piece": In(map_piece(build)),
                "requests": In(data.ArrayLayout(read_request(build), build.clusters)),
                "words": Out(data.ArrayLayout(self._word, build.clusters)),
            }
        )

    def elaborate(self, platform):
        build = self._build
        m = Module()
        parts = build.word_pixels // build.step_pixels
        # The intake may be far away, and nobody reads a word so soon.
        w_address = delayed(m, self.w_address, 1, "w_address")
        w_part, w_piece = (
            delayed(m, self.w_part, 1, "w_part"),
            delayed(m, self.w_piece, 1, "w_piece"),
        )
        answers = []
        for b in range(build.clusters):
            write = Signal(name=f"write_{b}")
            m.d.sync += write.eq(self.w_en & (self.w_bank == b))
            pieces = [Ram(map_piece(build), build.map_words) for _ in range(parts)]
            for part, piece in enumerate(pieces):
                m.submodules[f"bank_{b}_{part}" if part else f"bank_{b}"] = piece
                m.d.comb += [
                    piece.w_en.eq(write & (w_part <= part)),
                    piece.w_addr.eq(w_address),
                    piece.w_data.values.eq(w_piece.values),
                    piece.w_data.mask.eq(Mux(w_part == part, w_piece.mask, 0)),
                ]
            address = Signal(range(build.map_words), name=f"address_{b}")
            addresses = (request.addresses[b] for request in self.requests)
            m.d.comb += address.eq(reduce(or_, addresses))
            m.d.comb += [piece.r_addr.eq(address) for piece in pieces]
            answer = Signal(self._word, name=f"answer_{b}")
            m.d.comb += [
                answer.mask.eq(Cat(piece.r_data.mask for piece in pieces)),
                answer.values.eq(Cat(piece.r_data.values for piece in pieces)),
            ]
            answers.append(answer)

        # Clusters may be far away: what they get comes straight from registers.
        for c, (request, word) in enumerate(zip(self.requests, self.words, strict=True)):
            banks = Signal(build.clusters, name=f"banks_of_{c}")
            given = (Mux(bank, Value.cast(a), 0) for bank, a in zip(banks, answers, strict=True))
            m.d.sync += [banks.eq(request.banks), Value.cast(word).eq(reduce(or_, given))]
        return m
