"""The swap header: the same bytes as util-linux writes, every other header refused by name."""

import shutil
import struct
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.errors import AreaError
from hotswap.header import MAGIC, PAGE_SIZES, PROBE, Header, is_swap, max_badpages, pack, signature, unpack

UUID = uuid.UUID("11111111-2222-3333-4444-555555555555")
GOOD = Header(last_page=255, uuid=UUID.bytes, label="scratch", badpages=(3, 7))


def tool(name):
    """The path of a program of util-linux or file(1); the test is skipped where it is missing."""
    found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def made_by_mkswap(path, *options, size=1 << 20):
    """The first bytes of a file that the installed mkswap formatted."""
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    run(tool("mkswap"), "-U", str(UUID), *options, str(path))
    return path.read_bytes()[:PROBE]


def with_field(offset, value, block=None):
    """A good header with the 32 bit number at ``offset`` replaced."""
    changed = bytearray(block or pack(GOOD))
    struct.pack_into("=I", changed, offset, value)
    return bytes(changed)


def with_signature(magic, page_size=4096):
    block = bytearray(PROBE)
    block[page_size - 10 : page_size - 10 + len(magic)] = magic
    return bytes(block)


def refusal(block):
    """The sentence with which ``block`` is refused."""
    with pytest.raises(AreaError) as caught:
        unpack(block, "/x/area")
    sentence = str(caught.value)
    assert sentence.startswith("/x/area ") and sentence.endswith(".") and "\n" not in sentence
    return sentence


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["", "scratch", "fünfzehn bytes"])
def test_header_is_byte_for_byte_that_of_mkswap(tmp_path, label):
    theirs = made_by_mkswap(tmp_path / "a", *(["-L", label] if label else []))
    assert pack(Header(255, UUID.bytes, label)) == theirs[:4096]


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_header_of_every_page_size_is_that_of_mkswap(tmp_path, page_size):
    theirs = made_by_mkswap(tmp_path / "a", "-p", str(page_size))
    assert pack(Header((1 << 20) // page_size - 1, UUID.bytes, page_size=page_size)) == theirs[:page_size]


def test_fields_stand_where_the_kernel_looks_for_them():
    block = pack(GOOD)
    assert len(block) == 4096
    assert block[:1024] == bytes(1024)
    assert struct.unpack_from("=III", block, 1024) == (1, 255, 2)
    assert block[1036:1052] == UUID.bytes
    assert block[1052:1068] == b"scratch".ljust(16, b"\0")
    assert block[1068:1536] == bytes(4 * 117)
    assert struct.unpack_from("=3I", block, 1536) == (3, 7, 0)
    assert block[-10:] == b"SWAPSPACE2"


def test_bad_pages_are_written_sorted_and_once():
    block = pack(Header(255, UUID.bytes, badpages=(9, 2, 9, 4, 2)))
    assert struct.unpack_from("=I", block, 1032) == (3,)
    assert struct.unpack_from("=4I", block, 1536) == (2, 4, 9, 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": "seventeen bytes !"}, "at most 16 bytes"),
        ({"label": "ääääääääa"}, "at most 16 bytes"),
        ({"label": "a\0b"}, "without NUL"),
        ({"uuid": b"short"}, "UUID of 5 bytes"),
        ({"version": 2}, "version 2"),
        ({"page_size": 12288}, "page size of 12288"),
        ({"badpages": (0,)}, "bad page 0"),
        ({"badpages": (256,)}, "bad page 256"),
        ({"badpages": (-1,)}, "bad page -1"),
        ({"last_page": 8}, "9 pages, fewer than the 10"),
        ({"last_page": -1}, "fewer than the 10"),
        ({"last_page": 1 << 32}, "make it smaller"),
        ({"last_page": 1000, "badpages": tuple(range(1, 639))}, "638 bad pages, too many"),
        ({"last_page": 9, "badpages": tuple(range(1, 10))}, "no good page"),
    ],
)
def test_what_does_not_fit_is_not_written(change, says):
    with pytest.raises(AreaError, match=says):
        pack(Header(**{"last_page": 255, "uuid": UUID.bytes, **change}))


def test_a_header_holds_637_bad_pages():
    assert max_badpages(4096) == 637
    assert len(unpack(pack(Header(1000, UUID.bytes, badpages=tuple(range(1, 638))))).badpages) == 637


def test_the_largest_and_smallest_areas_survive_a_round_trip():
    for last_page in (9, (1 << 32) - 1):
        assert unpack(pack(Header(last_page, UUID.bytes))).last_page == last_page


@given(
    last_page=st.integers(9, (1 << 32) - 1),
    ident=st.binary(min_size=16, max_size=16),
    label=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(lambda t: len(t.encode()) <= 16),
    data=st.data(),
)
def test_any_header_survives_a_round_trip(last_page, ident, label, data):
    badpages = data.draw(st.lists(st.integers(1, last_page), max_size=8))
    back = unpack(pack(Header(last_page, ident, label, tuple(badpages))))
    assert back == Header(last_page, ident, label, tuple(sorted(set(badpages))))


@given(st.binary(max_size=5000))
def test_any_bytes_behind_the_signature_are_a_header_or_an_area_error(tail):
    block = bytearray(4096)
    body = tail[:3062]
    block[1024 : 1024 + len(body)] = body
    block[-10:] = MAGIC
    for version in (None, 1):  # as drawn, and past the check of the version
        if version:
            struct.pack_into("=I", block, 1024, version)
        try:
            header = unpack(bytes(block))
        except AreaError:
            continue
        assert header.last_page >= 9 and all(1 <= page <= header.last_page for page in header.badpages)


# --- what other programs make of ours, and we of theirs --------------------------------------------------------------


@pytest.fixture
def ours(tmp_path):
    """An area of ours with all that a header can say; the label fills its field."""
    path = tmp_path / "ours"
    path.write_bytes(pack(Header(255, UUID.bytes, "sixteen bytes ok", (3, 7))).ljust(1 << 20, b"\0"))
    path.chmod(0o600)
    return str(path)


def test_blkid_reads_our_header(ours):
    shown = dict(line.split("=", 1) for line in run(tool("blkid"), "-p", "-o", "export", ours).splitlines())
    assert shown["TYPE"] == "swap" and shown["VERSION"] == "1" and shown["UUID"] == str(UUID)
    assert shown["LABEL"].replace("\\ ", " ") == "sixteen bytes ok"


def test_file_reads_our_header(ours):
    shown = run(tool("file"), "-b", ours)
    assert "swap file, 4k page size" in shown and "size 255 pages, 2 bad pages" in shown and str(UUID) in shown


def test_swaplabel_reads_our_header(ours):
    shown = run(tool("swaplabel"), ours)
    assert "sixteen bytes ok" in shown and str(UUID) in shown


def test_we_read_what_mkswap_wrote(tmp_path):
    assert unpack(made_by_mkswap(tmp_path / "a", "-L", "theirs")) == Header(255, UUID.bytes, "theirs")


def test_we_read_a_header_relabelled_by_swaplabel(ours):
    run(tool("swaplabel"), "-L", "other", ours)
    with open(ours, "rb") as area:
        assert unpack(area.read(PROBE)) == Header(255, UUID.bytes, "other", (3, 7))


@pytest.mark.parametrize("page_size", PAGE_SIZES[1:])
def test_areas_of_mkswap_for_larger_pages_are_refused_by_page_size(tmp_path, page_size):
    block = made_by_mkswap(tmp_path / "a", "-p", str(page_size))
    assert f"pages of {page_size // 1024} KiB" in refusal(block)
    assert is_swap(block)


def test_areas_of_mkswap_in_the_other_byte_order_are_refused(tmp_path):
    if "--endianness" not in run(tool("mkswap"), "--help"):
        pytest.skip("this mkswap has no --endianness (util-linux before 2.40)")
    other = "big" if sys.byteorder == "little" else "little"
    assert "byte order" in refusal(made_by_mkswap(tmp_path / "a", "--endianness", other))


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [b"", b"SWAPSPACE2", bytes(4095), bytes(4096), bytes(PROBE), with_signature(b"SWAPSPACE1")])
def test_blocks_without_a_signature_are_refused(block):
    assert "no swap signature" in refusal(block)
    assert signature(block) is None and not is_swap(block)


def test_version_0_is_refused():
    assert "old version 0" in refusal(with_signature(b"SWAP-SPACE"))


@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("magic", [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001", bytes.fromhex("edc302e99856e50c")])
def test_hibernation_images_are_refused(magic, page_size):
    block = with_signature(magic, page_size)
    assert "holds a hibernation image" in refusal(block)
    assert not is_swap(block)  # so that it is not formatted over without force


def test_the_other_byte_order_is_refused():
    block = bytearray(pack(GOOD))
    block[1024:1036] = b"".join(block[at : at + 4][::-1] for at in (1024, 1028, 1032))
    assert "other byte order" in refusal(bytes(block))


@pytest.mark.parametrize("version", [0, 2, 0xFFFFFFFF])
def test_other_versions_are_refused(version):
    assert f"version {version}," in refusal(with_field(1024, version))


@pytest.mark.parametrize("count", [638, 0xFFFFFFFF])
def test_too_many_bad_pages_are_refused(count):
    assert f"{count} bad pages, too many" in refusal(with_field(1032, count))


@pytest.mark.parametrize("page", [0, 256, 0xFFFFFFFF])
def test_bad_pages_outside_the_area_are_refused(page):
    assert f"bad page {page}, which is outside 1..255" in refusal(with_field(1536, page))


@pytest.mark.parametrize("last_page", [0, 8])
def test_fewer_than_ten_pages_are_refused(last_page):
    assert f"{last_page + 1} pages, fewer than the 10" in refusal(with_field(1028, last_page))


def test_an_area_of_bad_pages_only_is_refused():
    block = pack(Header(9, UUID.bytes, badpages=tuple(range(1, 9))))
    assert "no good page" in refusal(with_field(1032, 9, with_field(1536 + 8 * 4, 9, block)))


def test_repeated_bad_pages_are_read_once():
    assert unpack(with_field(1536 + 4, 3)).badpages == (3,)


def test_signatures_of_larger_pages_behind_a_header_are_data():
    block = bytearray(pack(GOOD).ljust(PROBE, b"\0"))
    block[-10:] = MAGIC
    block[8182:8191] = b"S1SUSPEND"
    assert unpack(bytes(block)) == GOOD
