"""What an address space counts, from the engine's numbers to names and bytes; and the shares and rates that follow from them."""

from collections.abc import Mapping
from typing import Any

from .engine import api
from .sizes import PAGE

FAULTS = ("faults_minor", "faults_major", "faults_zero", "faults_write")
_IN_PAGES = ("pages_in", "pages_out", "pages_clean", "pages_filled")


def named(values: list[int]) -> dict[str, int]:
    """What api.space_figures() gives, from the numbers of mm_figure() in a row."""
    counters, levels = values[: api.COUNTED], values[api.COUNTED :]
    return dict(zip(api.FIGURES, counters)) | dict(zip(api.LEVELS, levels))


def stats_of(raw: Mapping[str, int]) -> dict[str, int]:
    """As ``Space.stats()`` tells it."""
    stats = {
        name: int(raw[name])
        for name in raw
        if name.startswith(("faults", "refaults", "activations", "direct", "wait", "unmovable", "stage"))
    }
    for name in (*_IN_PAGES, "ahead_pages", "poisoned"):
        stats[name] = int(raw[name])
    stats["readahead_pages"] = stats.pop("ahead_pages")
    stats["readahead_hits"] = int(raw["ahead_hits"])
    stats["folio_splits"], stats["folio_merges"] = int(raw["folio_splits"]), int(raw["folio_merges"])
    stats["writeback_bytes"] = int(raw["pages_out"]) * PAGE
    for name in ("resident", "limit", "pinned", "active", "inactive", "packed"):
        stats[f"{name}_bytes"] = int(raw[name]) * PAGE
    return stats


def hit_rates(stats: Mapping[str, float]) -> dict[str, float | None]:
    """Of the faults on what was swapped out, the share that needed no transfer (``cache``); of the pages that were read ahead, the
    share that was used (``readahead``). None where there were none."""
    cache, ahead = stats["faults_minor"] + stats["faults_major"], stats["readahead_pages"]
    return {
        "cache": stats["faults_minor"] / cache if cache else None,
        "readahead": min(1.0, stats["readahead_hits"] / ahead) if ahead else None,
    }


def rates(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """A second, of all that is counted upwards."""
    return {name: (after[name] - before[name]) / seconds for name in after if not name.endswith("_bytes") and seconds > 0}
