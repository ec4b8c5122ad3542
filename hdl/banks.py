"""The map banks: the ring of input rows that all clusters read."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.layouts import map_piece, map_word, piece_number
from hdl.memory import Ram
from hdl.scan import bank_bits, read_request


class MapBanks(wiring.Component):
    """One memory per cluster and piece of a word, one write and up to one read in each per cycle.

    A cluster reads only the bank that it owns in that cycle (`hdl.fetcher`), so requests never
    meet, except those of one team, which are the same. The answer to a request stands on `words`
    two cycles later. A word must not be written in the cycle in which it is read.

    Members
    -------
    w_en, w_bank, w_address, w_part, w_piece : the write port; of the pieces of a word, those before
        `w_part` stay, and those behind it become empty
    requests : one per cluster
    words : the answers, one per cluster
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
        answers = []
        for b in range(build.clusters):
            write = Signal(name=f"write_{b}")
            m.d.comb += write.eq(self.w_en & (self.w_bank == b))
            pieces = [Ram(map_piece(build), build.map_words) for _ in range(parts)]
            for part, piece in enumerate(pieces):
                m.submodules[f"bank_{b}_{part}" if part else f"bank_{b}"] = piece
                m.d.comb += [
                    piece.w_en.eq(write & (self.w_part <= part)),
                    piece.w_addr.eq(self.w_address),
                    piece.w_data.values.eq(self.w_piece.values),
                    piece.w_data.mask.eq(Mux(self.w_part == part, self.w_piece.mask, 0)),
                ]
            mine = [request.valid & (request.bank == b) for request in self.requests]
            addresses = [
                Mux(hit, request.address, 0)
                for hit, request in zip(mine, self.requests, strict=True)
            ]
            address = Signal(range(build.map_words), name=f"address_{b}")
            m.d.comb += address.eq(reduce(or_, addresses))
            m.d.comb += [piece.r_addr.eq(address) for piece in pieces]
            answer = Signal(self._word, name=f"answer_{b}")
            m.d.sync += [
                answer.mask.eq(Cat(piece.r_data.mask for piece in pieces)),
                answer.values.eq(Cat(piece.r_data.values for piece in pieces)),
            ]
            answers.append(answer)

        for c in range(build.clusters):
            first = Signal(bank_bits(build), name=f"bank_of_{c}_0")
            second = Signal(bank_bits(build), name=f"bank_of_{c}_1")
            m.d.sync += [first.eq(self.requests[c].bank), second.eq(first)]
            with m.Switch(second):
                for b, answer in enumerate(answers):
                    with m.Case(b):
                        m.d.comb += self.words[c].eq(answer)
        return m
