"""What the rows of a run say: ratios, the figures of issue 5, and where a peer wins."""

from collections.abc import Sequence

from .plan import LESS_IS_BETTER, RAW, RAW_TOGETHER, SYSTEMS, Row
from .progress import figure

DISK = "disk"
# (measure, peer, least ratio): what issue 5 sets as the goal. Of the disk it is the direct sequential rate.
GOALS = (
    ("W1 seq read", "kernel-file", 5.0),
    ("W1 seq read", "memmap", 1.25),
    ("W1 seq read", DISK, 0.85),
    ("W1 seq write", "kernel-file", 2.5),
    ("W1 seq write", "memmap", 1.5),
    ("W2 random", "kernel-file", 1.3),
    ("W2 random", "memmap-random", 2.5),
    ("W3 zipf", "kernel-file", 1.5),
    ("W4 sort", "kernel-file", 2.5),
    ("W4 sort", "memmap", 2.0),
    ("W9 swapoff", "kernel-file", 5.0),
    ("W10 tier read", "kernel-zram", 5.0),
    ("W10 tier random", "kernel-zram", 1.2),
    ("W10 tier held", "kernel-zram", 2.0),  # half of the bytes
    ("W11 within", "ram", 0.97),
    ("W12 scan fault", RAW, 1 / 1.3),
    ("W12 fault", RAW, 1 / 1.3),
)


def of(rows: Sequence[Row], measure: str, system: str) -> Row | None:
    if system == DISK:
        measure, system = DISK, "direct-seq"
    return next((r for r in rows if (r.workload, r.system) == (measure, system)), None)


def ratio(rows: Sequence[Row], measure: str, peer: str) -> float | None:
    """How many times as good hotswap is as ``peer``: above 1 is better, for rates and for seconds alike. None where either has no
    figure, or a wrong result."""
    ours, theirs = (of(rows, measure, system) for system in ("hotswap", peer))
    if not ours or not theirs or not ours.value or not theirs.value or ours.verified is False or theirs.verified is False:
        return None
    return theirs.value / ours.value if ours.unit in LESS_IS_BETTER else ours.value / theirs.value


def measures(rows: Sequence[Row]) -> list[str]:
    """Names of the workloads' measures in ``rows``, in order, without the disk's."""
    return list(dict.fromkeys(r.workload for r in rows if r.workload != DISK))


def peers(rows: Sequence[Row]) -> list[str]:
    """The systems in ``rows`` that hotswap is compared with, without the disk."""
    return [s for s in (*SYSTEMS, RAW, RAW_TOGETHER) if s != "hotswap" and any(r.system == s for r in rows)]


def goals(rows: Sequence[Row]) -> list[str]:
    """A line for each goal that this run can judge."""
    lines = []
    for measure, peer, least in GOALS:
        times = ratio(rows, measure, peer)
        if times:
            verdict = "reached" if times >= least else "MISSED "
            lines.append(f"{verdict}  {measure}: {figure(times)} of at least {figure(least)} times {peer}")
    return lines


def peer_wins(rows: Sequence[Row]) -> list[str]:
    """A sentence for each measure in which a peer is ahead of hotswap, best first; one that says so when none is."""
    said = []
    compared = 0
    for measure in measures(rows):
        ahead = []
        for peer in peers(rows):
            times = ratio(rows, measure, peer)
            compared += times is not None
            if times is not None and times < 1:
                ahead.append((1 / times, peer))
        if ahead:
            told = [f"{peer} {figure(by)} times{_doubt(rows, measure, peer)}" for by, peer in sorted(ahead, reverse=True)]
            said.append(
                f"{measure}: ahead of hotswap are {_listed(told)}."
                if len(told) > 1
                else f"{measure}: ahead of hotswap is {told[0]}."
            )
        ours = of(rows, measure, "hotswap")
        if ours is not None and ours.value is None:
            said.append(f"{measure}: hotswap gave no figure ({ours.note}).")
    if not compared:
        return [*said, "hotswap was compared with nobody in this run."]
    return said or ["No peer is ahead of hotswap in any of these."]


def _doubt(rows: Sequence[Row], measure: str, peer: str) -> str:
    """Whether the samples of the two overlap."""
    ours, theirs = of(rows, measure, "hotswap"), of(rows, measure, peer)
    if not ours or not theirs or len(ours.samples) < 2 or len(theirs.samples) < 2:
        return ""
    apart = min(ours.samples) > max(theirs.samples) or min(theirs.samples) > max(ours.samples)
    return "" if apart else " (their samples overlap)"


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
