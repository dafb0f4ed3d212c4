"""The figures of processes in the text format that Prometheus reads, version 0.0.4; bytes and seconds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from . import Look

_SPACES = {  # figure of Space.stats(): metric, type, what it tells
    "resident_bytes": ("resident_bytes", "gauge", "Bytes in memory, staging frames included."),
    "limit_bytes": ("limit_bytes", "gauge", "Bytes that may be in memory."),
    "packed_bytes": ("packed_bytes", "gauge", "Bytes of those in memory that are compressed."),
    "pinned_bytes": ("pinned_bytes", "gauge", "Bytes that are kept in memory on request."),
    "faults_minor": ("faults_minor_total", "counter", "Faults served without a transfer."),
    "faults_major": ("faults_major_total", "counter", "Faults that waited for a transfer."),
    "faults_zero": ("faults_zero_total", "counter", "First touches, and pages of one value."),
    "faults_write": ("faults_write_total", "counter", "First writes to pages that an area has."),
    "pages_in": ("pages_in_total", "counter", "Pages of 4 KiB read."),
    "pages_out": ("pages_out_total", "counter", "Pages of 4 KiB written."),
    "pages_clean": ("pages_clean_total", "counter", "Pages dropped without a write."),
    "readahead_pages": ("readahead_pages_total", "counter", "Pages read ahead."),
    "readahead_hits": ("readahead_hits_total", "counter", "Folios of those that were used."),
    "direct_reclaims": ("direct_reclaims_total", "counter", "Faults that had to make room themselves."),
    "poisoned": ("poisoned_pages_total", "counter", "Pages that could not be read back."),
}


def text(looks: Iterable[Look]) -> str:
    """All of them, each metric under its heading."""
    looks = list(looks)
    return "".join(f"{line}\n" for line in (*_areas(looks), *_of_spaces(looks)))


def _areas(looks: list[Look]) -> Iterator[str]:
    every = [({"pid": look.pid, "area": area.path, "type": area.kind}, area) for look in looks for area in look.areas]
    yield from _metric("area_size_bytes", "gauge", "Bytes that an area holds.", [(of, area.size) for of, area in every])
    yield from _metric("area_used_bytes", "gauge", "Bytes of an area in use.", [(of, area.used) for of, area in every])
    yield from _metric(
        "area_priority", "gauge", "Areas of higher priority fill first.", [(of, area.priority) for of, area in every]
    )
    yield from _metric(
        "area_read_bytes_total", "counter", "Bytes read from an area.", [(of, area.bytes_in) for of, area in every]
    )
    yield from _metric(
        "area_written_bytes_total", "counter", "Bytes written to an area.", [(of, area.bytes_out) for of, area in every]
    )
    ram = [(of, area) for of, area in every if area.compressed]
    yield from _metric("area_held_bytes", "gauge", "Memory that compressed RAM takes.", [(of, area.held) for of, area in ram])
    yield from _metric("area_stored_bytes", "gauge", "What is in there, as it came.", [(of, area.stored) for of, area in ram])
    yield from _metric("area_packed_bytes", "gauge", "And as it is kept.", [(of, area.packed) for of, area in ram])
    yield from _metric(
        "area_written_back_bytes_total",
        "counter",
        "Written on to where there is more room.",
        [(of, area.written_back) for of, area in ram],
    )
    yield from _metric(
        "area_declined_bytes_total", "counter", "What did not compress.", [(of, area.declined) for of, area in ram]
    )
    yield from _metric("area_errors_total", "counter", "Transfers that failed.", [(of, area.errors) for of, area in every])


def _of_spaces(looks: list[Look]) -> Iterator[str]:
    every = [({"pid": look.pid, "space": space.number}, space.stats) for look in looks for space in look.spaces]
    for figure, (name, kind, tells) in _SPACES.items():
        yield from _metric(name, kind, tells, [(of, stats[figure]) for of, stats in every])
    waits = [(of, stats["wait_ns"] / 1e9) for of, stats in every]
    yield from _metric("reclaim_wait_seconds_total", "counter", "Time that faults spent making room.", waits)


def _metric(name: str, kind: str, tells: str, samples: Sequence[tuple[Mapping[str, object], float]]) -> Iterator[str]:
    if samples:
        yield f"# HELP hotswap_{name} {tells}"
        yield f"# TYPE hotswap_{name} {kind}"
    for of, value in samples:
        labels = ",".join(f'{label}="{_escaped(str(what))}"' for label, what in of.items())
        yield f"hotswap_{name}{{{labels}}} {value}"


def _escaped(value: str) -> str:
    return value.encode(errors="replace").decode().replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
