"""``hotswap check``: what is missing is said, with what is lost and whom to ask; the verdict and the exit code follow."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hotswap import check, machine
from hotswap.check import GOOD, MISSING, POORER
from hotswap.cli import main
from hotswap.engine import api

ALL = api.WRITE_PROTECT | api.MOVE | api.POISON | api.SHARED | api.SHARED_WRITE_PROTECT


def found_with(monkeypatch: pytest.MonkeyPatch, features: int, kernel_faults: bool = True) -> dict[str, check.Finding]:
    monkeypatch.setattr(check.api, "mmu_found", lambda: (features, kernel_faults))
    return {finding.name: finding for finding in check.userfaultfd()}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments])


# --- the verdict


def test_it_works_where_the_other_tests_run(tmp_path: Path) -> None:
    done = run("--scratch", str(tmp_path), "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and told["works"] is True and told["ask"] == []
    assert told["found"][-1]["name"] == "trial" and told["found"][-1]["state"] == GOOD
    assert list(tmp_path.iterdir()) == []


def test_lines_are_plain_and_the_verdict_is_the_last(tmp_path: Path) -> None:
    lines = run("--scratch", str(tmp_path)).stdout.splitlines()
    assert all(line.split()[0] in (GOOD, POORER) for line in lines[:-1])
    assert lines[-1] == "hotswap works here: yes"
    assert not any("\x1b" in line for line in lines)


def test_where_userfaultfd_is_refused_it_says_no_and_whom_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_with(monkeypatch, -errno.EPERM)
    done = run("--scratch", str(tmp_path))
    assert done.exit_code == 1 and done.stdout.splitlines()[-2] == "hotswap works here: no"
    assert "ask the administrator for leave to use userfaultfd" in done.stdout.splitlines()[-1]
    assert "trial" not in done.stdout


def test_a_trial_that_fails_or_hangs_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check.sys, "executable", "/bin/false")
    found = check.look(tmp_path)
    assert found[-1].name == "trial" and found[-1].state == MISSING and not check.works(found)
    assert check.requests(found)
    sleepy = tmp_path / "sleepy"
    sleepy.write_text("#!/bin/sh\nexec sleep 60\n")
    sleepy.chmod(0o755)
    monkeypatch.setattr(check.sys, "executable", str(sleepy))
    monkeypatch.setattr(check, "_TRIAL", 0.2)
    assert "not finished" in check.try_out(tmp_path).found


# --- what userfaultfd offers


@pytest.mark.parametrize(
    ("lacking", "name", "lost"),
    [
        (api.MOVE, "UFFDIO_MOVE", "copied"),
        (api.POISON, "UFFDIO_POISON", "SIGSEGV"),
        (api.SHARED_WRITE_PROTECT, "shared memory", "written each time"),
        (api.SHARED | api.SHARED_WRITE_PROTECT, "shared memory", "no hotswap.SharedArray"),
    ],
)
def test_a_missing_operation_is_poorer_and_says_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, lacking: int, name: str, lost: str
) -> None:
    assert found_with(monkeypatch, ALL)[name].state == GOOD
    without = found_with(monkeypatch, ALL & ~lacking)[name]
    assert without.state == POORER and lost in without.means


def test_without_write_protection_it_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(found_with(monkeypatch, ALL & ~api.WRITE_PROTECT).values())
    assert not check.works(found) and "5.11" in check.requests(found)[0]


def test_a_kernel_without_it_and_one_that_refuses_ask_for_different_things(monkeypatch: pytest.MonkeyPatch) -> None:
    (absent,) = found_with(monkeypatch, -errno.ENOSYS).values()
    (refused,) = found_with(monkeypatch, -errno.EPERM).values()
    assert "CONFIG_USERFAULTFD" in absent.ask and "vm.unprivileged_userfaultfd" in refused.ask


def test_faults_in_user_mode_only_mean_resident_around_system_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = found_with(monkeypatch, ALL, kernel_faults=False)["userfaultfd"]
    assert finding.state == POORER and "EFAULT" in finding.means and "space.resident" in finding.means


@pytest.mark.parametrize(
    ("capable", "allowed", "how"), [(True, "0", "CAP_SYS_PTRACE"), (False, "1", "vm."), (False, "0", "/dev/")]
)
def test_it_says_how_faults_are_had(monkeypatch: pytest.MonkeyPatch, capable: bool, allowed: str, how: str) -> None:
    monkeypatch.setattr(machine, "capable", lambda _number: capable)
    monkeypatch.setattr(machine, "text", lambda _path: allowed)
    assert how in found_with(monkeypatch, ALL)["userfaultfd"].found


# --- the rest of the machine


@pytest.mark.parametrize(
    ("release", "state"), [("5.10.0-28-amd64", POORER), ("5.11.0", GOOD), ("6.18.44-fc", GOOD), ("7.0", GOOD)]
)
def test_an_old_kernel_is_named(monkeypatch: pytest.MonkeyPatch, release: str, state: str) -> None:
    monkeypatch.setattr(check.platform, "release", lambda: release)
    monkeypatch.setattr(check.platform, "machine", lambda: "x86_64")
    assert check.kernel().state == state


def test_large_pages_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check.page_size().state == GOOD
    monkeypatch.setattr(check.mmap, "PAGESIZE", 65536)
    assert check.page_size().state == MISSING


def test_a_directory_that_cannot_be_written_does_not_work(tmp_path: Path) -> None:
    finding = check.direct_io(tmp_path / "gone")
    assert finding.state == MISSING and "--scratch" in finding.means


def test_a_file_system_in_memory_is_no_place_for_areas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "file_system", lambda _directory: "tmpfs")
    finding = check.direct_io(tmp_path)
    assert finding.state == POORER and "itself memory" in finding.means
    assert list(tmp_path.iterdir()) == []


def test_buffered_transfers_are_poorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "file_system", lambda _directory: "ext4")
    monkeypatch.setattr(check, "_writes_directly", lambda _path: False)
    finding = check.direct_io(tmp_path)
    assert finding.state == POORER and "page cache" in finding.means


def test_a_limit_on_addresses_is_told_and_the_trial_still_passes(tmp_path: Path) -> None:
    limit = 4 << 30

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    command = [sys.executable, "-m", "hotswap", "check", "--json", "--scratch", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=limited)
    found = {finding["name"]: finding for finding in json.loads(done.stdout)["found"]}
    assert found["address space"]["found"] == "limited to 4.0 GiB" and found["trial"]["state"] == GOOD


@pytest.mark.parametrize(("mode", "state"), [("0", GOOD), ("1", GOOD), ("2", POORER), ("", GOOD)])
def test_strict_overcommit_is_told(monkeypatch: pytest.MonkeyPatch, mode: str, state: str) -> None:
    monkeypatch.setattr(machine, "text", lambda _path: mode)
    assert check.overcommit().state == state


@pytest.mark.parametrize(
    ("modes", "mode", "state"),
    [("[always] madvise never", "always", POORER), ("always [madvise] never", "madvise", GOOD), ("", "none", GOOD)],
)
def test_huge_pages_everywhere_are_told(monkeypatch: pytest.MonkeyPatch, modes: str, mode: str, state: str) -> None:
    monkeypatch.setattr(machine, "text", lambda _path: modes)
    assert check.huge_pages()[1:3] == (mode, state)


@pytest.mark.parametrize(("reply", "state"), [(1 << 3 | 1 << 4 | 1, GOOD), (1, POORER), (0, MISSING), (-1, MISSING)])
def test_membarrier_is_asked_for_the_kinds_it_has(monkeypatch: pytest.MonkeyPatch, reply: int, state: str) -> None:
    assert check.membarrier().state == GOOD
    library = type("Library", (), {"syscall": staticmethod(lambda *_numbers: reply)})
    monkeypatch.setattr(check.ctypes, "CDLL", lambda *_name, **_options: library)
    monkeypatch.setattr(check.platform, "machine", lambda: "x86_64")
    assert check.membarrier().state == state


# --- control groups and mounts

V1 = "30 25 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
V2 = "30 25 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup rw,nsdelegate\n"
INSIDE = "30 25 0:27 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


@pytest.mark.parametrize(
    ("mountinfo", "membership", "files", "limits"),
    [
        (V1, "4:memory:/a/b\n0::/x\n", {"memory/a/b/memory.limit_in_bytes": 1 << 30}, [1 << 30]),
        (
            V1,
            "4:memory:/a/b\n",
            {"memory/a/memory.limit_in_bytes": 1 << 29, "memory/memory.limit_in_bytes": 2**63 - 4096},
            [1 << 29],
        ),
        (V1, "4:cpu:/a\n", {"memory/memory.limit_in_bytes": 1 << 29}, []),
        (V2, "0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": 1 << 31}, [1 << 31]),
        (V2, "0::/a/b\n", {"a/b/memory.max": 1 << 28, "a/memory.max": 1 << 31}, [1 << 28, 1 << 31]),
        (INSIDE, "4:memory:/docker/abc/job\n", {"memory/job/memory.limit_in_bytes": 1 << 27}, [1 << 27]),
        (INSIDE, "4:memory:/elsewhere\n", {"memory/memory.limit_in_bytes": 1 << 26}, [1 << 26]),
        ("", "0::/\n", {}, []),
    ],
)
def test_limits_of_both_versions_and_of_the_groups_above_are_found(
    tmp_path: Path, mountinfo: str, membership: str, files: dict[str, object], limits: list[int]
) -> None:
    for name, value in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    assert list(machine.memory_limits(mountinfo, membership, tmp_path)) == limits


def test_the_lowest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_limits", lambda: iter([3 << 30, 1 << 30]))
    assert check.memory_limit().found.startswith("1.0 GiB")


def test_the_deepest_and_latest_mount_is_the_one(tmp_path: Path) -> None:
    deep = tmp_path / "deep er"
    deep.mkdir()
    point = str(tmp_path.resolve())
    lines = [
        "1 0 8:1 / / rw - ext4 /dev/a rw",
        f"2 1 8:2 / {point} rw - xfs /dev/b rw",
        f"3 1 8:3 / {point}/deep\\040er rw - tmpfs none rw",
        f"4 1 8:4 / {point} rw - btrfs /dev/c rw",
    ]
    assert machine.file_system(deep, "\n".join(lines)) == "tmpfs"
    assert machine.file_system(tmp_path, "\n".join(lines)) == "btrfs"
    assert machine.file_system(Path("/"), "\n".join(lines)) == "ext4"
    assert machine.file_system(tmp_path, "") == ""


def test_capabilities_are_read_by_number() -> None:
    every = int(next(line.split()[1] for line in machine.text("/proc/self/status").splitlines() if line.startswith("CapEff")), 16)
    assert [machine.capable(number) for number in range(40)] == [bool(every >> number & 1) for number in range(40)]
    assert os.geteuid() != 0 or every
