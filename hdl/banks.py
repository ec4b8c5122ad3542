"""The map banks: the ring of input rows that all clusters read."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.layouts import map_word
from hdl.memory import Ram
from hdl.scan import bank_bits, read_request


class MapBanks(wiring.Component):
    """One memory per cluster, one write and up to one read in each per cycle.

    A cluster reads only the bank that it owns in that cycle (`hdl.fetcher`), so requests never
    meet, except those of one team, which are the same. The answer to a request stands on `words`
    two cycles later. A word must not be written in the cycle in which it is read.

    Members
    -------
    w_en, w_bank, w_address, w_word : the write port
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
                "w_word": In(self._word),
                "requests": In(data.ArrayLayout(read_request(build), build.clusters)),
                "words": Out(data.ArrayLayout(self._word, build.clusters)),
            }
        )

    def elaborate(self, platform):
        build = self._build
        m = Module()
        answers = []
        for b in range(build.clusters):
            m.submodules[f"bank_{b}"] = bank = Ram(self._word, build.map_words)
            m.d.comb += [
                bank.w_en.eq(self.w_en & (self.w_bank == b)),
                bank.w_addr.eq(self.w_address),
                bank.w_data.eq(self.w_word),
            ]
            mine = [request.valid & (request.bank == b) for request in self.requests]
            addresses = [
                Mux(hit, request.address, 0)
                for hit, request in zip(mine, self.requests, strict=True)
            ]
            m.d.comb += bank.r_addr.eq(reduce(or_, addresses))
            answer = Signal(self._word, name=f"answer_{b}")
            m.d.sync += answer.eq(bank.r_data)
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
