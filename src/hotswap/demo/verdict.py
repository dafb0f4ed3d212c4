"""What a run saw, and the verdict on it: ``ok``, or a sentence for each thing that is not as it must be."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ..sizes import PAGE, format_size
from .residency import EXTRA

OK = "ok"
MEGABYTE = 1_000_000


@dataclass
class Outcome:
    """Everything a run found out. Sizes in bytes, pages of 4 KiB, times in seconds."""

    limit_bytes: int = 0
    peak_resident_bytes: int = 0  # above what the process had before the space was made
    working_set_bytes: int = 0
    corpus_bytes: int = 0
    seconds: float = 0.0  # of the job in the space, all rounds
    ram_seconds: float = 0.0  # of one round in RAM
    rounds: int = 0  # finished ones
    threads: int = 0
    swapoffs: int = 0  # finished ones that found something to move
    pages_moved: int = 0
    swapoff_seconds: float = 0.0
    pages_checked: int = 0
    pages_lost: int = 0
    pages_unread: int = 0  # written and never read back
    lost: list[str] = field(default_factory=list)  # the first lost pages, by name
    wrong_probes: int = 0
    digest: str = ""
    ram_digest: str = ""
    digests_differ: int = 0  # rounds whose index was not the one built in RAM
    failures: list[str] = field(default_factory=list)  # what swapoff or swapon refused, word for word
    error: str = ""  # what ended the run early
    scratch: str = ""
    stats: dict[str, Any] = field(default_factory=dict)  # the space's own counters

    @property
    def swapoff_rate(self) -> float:
        """Bytes moved per second of swapoff."""
        return self.pages_moved * PAGE / self.swapoff_seconds if self.swapoff_seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """The verdict first."""
        return {"verdict": judge(self), **asdict(self), "peak_allowed_bytes": self.limit_bytes + EXTRA}


def judge(saw: Outcome) -> str:
    """``OK`` only if all is as it must be; otherwise every complaint, the gravest first."""
    complaints = []
    if saw.pages_lost:
        named = ", ".join(saw.lost[:3])
        complaints.append(f"{saw.pages_lost} pages were read back with other contents than were written (first: {named})")
    if saw.error:
        complaints.append(saw.error)
    elif not saw.rounds:
        complaints.append("no round of the job was finished")
    if saw.digests_differ:
        complaints.append(f"the index differs from the one built in RAM in {saw.digests_differ} of {saw.rounds} rounds")
    elif saw.rounds and (not saw.digest or saw.digest != saw.ram_digest):
        complaints.append("the index was not shown to be the one built in RAM")
    if saw.wrong_probes:
        complaints.append(f"{saw.wrong_probes} places of the text were not found in the index")
    if saw.rounds and saw.pages_unread:
        complaints.append(f"{saw.pages_unread} pages were written and never read back, so their contents are unknown")
    if saw.rounds and not saw.pages_checked:
        complaints.append("no page was checked")
    if saw.failures:
        complaints.append(f"{len(saw.failures)} times an area could not be switched (first: {saw.failures[0]})")
    if saw.rounds and not saw.swapoffs:
        complaints.append("no swapoff finished, the run was too short to show one; give a longer --seconds")
    if saw.peak_resident_bytes > saw.limit_bytes + EXTRA:
        complaints.append(
            f"{format_size(saw.peak_resident_bytes)} were resident at the peak, more than the limit of "
            f"{format_size(saw.limit_bytes)} and the {format_size(EXTRA)} allowed on top"
        )
    if saw.rounds and not saw.peak_resident_bytes:
        complaints.append("peak residency was not measured")
    return "; ".join(complaints) or OK


def sentence(saw: Outcome) -> str:
    """The one line at the end."""
    verdict = judge(saw)
    none_lost = "none lost" if not saw.pages_lost else f"{saw.pages_lost:,} LOST"
    times = saw.working_set_bytes / saw.limit_bytes if saw.limit_bytes else 0
    facts = (
        f"{saw.swapoffs:,} swapoffs, {saw.pages_moved:,} pages moved at {saw.swapoff_rate / MEGABYTE:,.0f} MB/s, {none_lost} "
        f"({saw.pages_checked:,} checked); peak residency {format_size(saw.peak_resident_bytes)} under a limit of "
        f"{format_size(saw.limit_bytes)}, working set {format_size(saw.working_set_bytes)} ({times:.0f} times the limit); "
        f"{saw.rounds} {'round' if saw.rounds == 1 else 'rounds'} in {saw.seconds:.1f} s "
        f"(one in RAM: {saw.ram_seconds:.1f} s)"
    )
    if verdict == OK:
        return f"ok: {facts}; the index is the one built in RAM."
    return f"FAILED: {verdict}. ({facts})" if saw.seconds else f"FAILED: {verdict}."
