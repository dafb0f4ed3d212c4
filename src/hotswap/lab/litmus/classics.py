"""The litmus tests of the literature, and what each model allows.

Names are those of the diy family ("MP", "SB+mbs"): Alglave, Maranget, Sarkar and Sewell, "Litmus: running tests against hardware"
(TACAS 2011). An outcome is the values of the observed names in their order, as digits. ``sc`` lists every outcome under sequential
consistency ("but 10": all of zeros and ones except); ``tso`` what x86-TSO allows beyond that, ``weak`` what the views allow beyond x86-TSO.
"""

from itertools import product
from typing import NamedTuple

from .program import Program, program


class Classic(NamedTuple):
    name: str
    text: str
    observed: str
    sc: str
    tso: str = ""
    weak: str = ""

    @property
    def program(self) -> Program:
        return program(self.name, self.text)

    def allowed(self, model: str) -> set[str]:
        found = set(self.sc.split())
        if self.sc.startswith("but "):
            width = len(self.observed.split())
            found = {"".join(bits) for bits in product("01", repeat=width)} - set(self.sc.split()[1:])
        if model != "sc":
            found |= set(self.tso.split())
        if model == "weak":
            found |= set(self.weak.split())
        return found


CLASSICS = [
    # Store buffering: may both miss the other's store?
    Classic("SB", "x=1; a=y | y=1; b=x", "a b", "but 00", tso="00"),
    Classic("SB+rel-acqs", "x=rel 1; a=acq y | y=rel 1; b=acq x", "a b", "but 00", tso="00"),
    Classic("SB+rmbs", "x=1; rmb; a=y | y=1; rmb; b=x", "a b", "but 00", tso="00"),
    Classic("SB+mbs", "x=1; mb; a=y | y=1; mb; b=x", "a b", "but 00"),
    Classic("SB+mb+po", "x=1; mb; a=y | y=1; b=x", "a b", "but 00", tso="00"),
    Classic("SB+lights", "x=1; light; a=y | y=1; light; b=x", "a b", "but 00", tso="00"),
    Classic("SB+light+heavy", "x=1; light; a=y | y=1; heavy; b=x", "a b", "but 00"),
    Classic("SB+light+mb", "x=1; light; a=y | y=1; mb; b=x", "a b", "but 00", tso="00"),
    Classic("SB+swaps", "c=swap.rel x 1; a=y | d=swap.rel y 1; b=x", "a b", "but 00", weak="00"),
    Classic("SB+rfis", "x=1; c=x; a=y | y=1; d=y; b=x", "a b", "but 00", tso="00"),
    # Message passing: is the flag seen without what it stands for?
    Classic("MP", "x=1; y=1 | a=y; b=x", "a b", "but 10", weak="10"),
    Classic("MP+rel+po", "x=1; y=rel 1 | a=y; b=x", "a b", "but 10", weak="10"),
    Classic("MP+po+acq", "x=1; y=1 | a=acq y; b=x", "a b", "but 10", weak="10"),
    Classic("MP+rel+acq", "x=1; y=rel 1 | a=acq y; b=x", "a b", "but 10"),
    Classic("MP+rel+rmb", "x=1; y=rel 1 | a=y; rmb; b=x", "a b", "but 10"),
    Classic("MP+mb+rmb", "x=1; mb; y=1 | a=y; rmb; b=x", "a b", "but 10"),
    Classic("MP+mbs", "x=1; mb; y=1 | a=y; mb; b=x", "a b", "but 10"),
    Classic("MP+rel-add+acq", "x=1; y=rel 1 | c=add y 1 | a=acq y; b=x", "c a b", "000 001 100 101 010 011 111 121"),
    Classic("MP+fields", ".x=1; y=1 | a=y; b=.x", "a b", "but 10", weak="10"),
    Classic("MP+fields+rel+acq", ".x=1; y=rel 1 | a=acq y; b=.x", "a b", "but 10"),
    Classic("MP+fields+rel+po", ".x=1; y=rel 1 | a=y; b=.x", "a b", "but 10", weak="10"),
    # Load buffering: no model here shows it (C11 and the kernel's allow it without barriers).
    Classic("LB", "a=x; y=1 | b=y; x=1", "a b", "but 11"),
    Classic("LB+rel-acqs", "a=acq x; y=rel 1 | b=acq y; x=rel 1", "a b", "but 11"),
    Classic("LB+mbs", "a=x; mb; y=1 | b=y; mb; x=1", "a b", "but 11"),
    # Independent reads of independent writes: do two readers agree on the order of two stores?
    Classic("IRIW", "x=1 | y=1 | a=x; b=y | c=y; d=x", "a b c d", "but 1010", weak="1010"),
    Classic("IRIW+acqs", "x=rel 1 | y=rel 1 | a=acq x; b=y | c=acq y; d=x", "a b c d", "but 1010", weak="1010"),
    Classic("IRIW+mbs", "x=1 | y=1 | a=x; mb; b=y | c=y; mb; d=x", "a b c d", "but 1010"),
    Classic("IRIW+mb+acq", "x=rel 1 | y=rel 1 | a=x; mb; b=y | c=acq y; d=x", "a b c d", "but 1010", weak="1010"),
    # Two stores each, in opposite orders: may both first ones win?
    Classic("2+2W", "x=1; y=2 | y=1; x=2", "x y", "12 21 22", weak="11"),
    Classic("2+2W+rels", "x=1; y=rel 2 | y=1; x=rel 2", "x y", "12 21 22", weak="11"),
    Classic("2+2W+mbs", "x=1; mb; y=2 | y=1; mb; x=2", "x y", "12 21 22"),
    # Coherence: one location has one order of stores that nobody goes back in.
    Classic("CoRR", "x=1 | a=x; b=x", "a b", "but 10"),
    Classic("CoRR2", "x=1 | x=2 | a=x; b=x | c=x; d=x", "a b c d", " ".join(
        f"{a}{b}{c}{d}" for a, b, c, d in product("012", repeat=4)
        if any(order.index(a) <= order.index(b) and order.index(c) <= order.index(d) for order in ("012", "021"))
    )),
    Classic("CoWW", "x=1; x=2", "x", "2"),
    Classic("CoRW1", "a=x; x=1", "a x", "01"),
    Classic("CoRW2", "a=x; x=1 | x=2", "a x", "01 02 21"),
    Classic("CoWR", "x=1; a=x | x=2", "a x", "11 12 22"),
    # Write to read causality: does who hears of a store through another see it?
    Classic("WRC", "x=1 | a=x; y=1 | b=y; c=x", "a b c", "but 110", weak="110"),
    Classic("WRC+rel+acq", "x=1 | a=x; y=rel 1 | b=acq y; c=x", "a b c", "but 110"),
    Classic("WRC+po+acq", "x=1 | a=x; y=1 | b=acq y; c=x", "a b c", "but 110", weak="110"),
    Classic("WRC+mb+rmb", "x=1 | a=x; mb; y=1 | b=y; rmb; c=x", "a b c", "but 110"),
    Classic("RWC", "x=1 | a=x; b=y | y=1; c=x", "a b c", "but 100", tso="100"),
    Classic("RWC+acq+mb", "x=rel 1 | a=acq x; b=y | y=1; mb; c=x", "a b c", "but 100", weak="100"),
    Classic("RWC+mbs", "x=1 | a=x; mb; b=y | y=1; mb; c=x", "a b c", "but 100"),
    # R: a store that loses against another, and then misses a third. S: one that is overwritten after it was heard of.
    Classic("R", "x=1; y=1 | y=2; a=x", "a y", "01 11 12", tso="02"),
    Classic("R+rel+acq", "x=1; y=rel 1 | y=2; a=acq x", "a y", "01 11 12", tso="02"),
    Classic("R+mbs", "x=1; mb; y=1 | y=2; mb; a=x", "a y", "01 11 12"),
    Classic("S", "x=2; y=1 | a=y; x=1", "a x", "01 02 11", weak="12"),
    Classic("S+rel+acq", "x=2; y=rel 1 | a=acq y; x=1", "a x", "01 02 11"),
    Classic("S+rel+po", "x=2; y=rel 1 | a=y; x=1", "a x", "01 02 11", weak="12"),
    Classic("S+mbs", "x=2; mb; y=1 | a=y; mb; x=1", "a x", "01 02 11"),
    # ISA2: message passing over three CPUs.
    Classic("ISA2", "x=1; y=1 | a=y; z=1 | b=z; c=x", "a b c", "but 110", weak="110"),
    Classic("ISA2+rel+acq-rel+acq", "x=1; y=rel 1 | a=acq y; z=rel 1 | b=acq z; c=x", "a b c", "but 110"),
    Classic("ISA2+rel+po-rel+acq", "x=1; y=rel 1 | a=y; z=rel 1 | b=acq z; c=x", "a b c", "but 110", weak="110"),
]  # fmt: skip

# Counters: the broken one loses an increment in every model, the others never do.
BROKEN_COUNTER = program("broken counter", "a=x; x=a+1 | b=x; x=b+1")
COUNTERS = [
    program("counter with an atomic add", "a=add x 1 | b=add x 1"),
    program("counter under a lock", "lock l; a=x; x=a+1; unlock l | lock l; b=x; x=b+1; unlock l"),
]
