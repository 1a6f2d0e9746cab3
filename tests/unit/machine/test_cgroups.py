"""Control groups, on texts and trees of both versions."""

from pathlib import Path

import pytest

from ultralab.kernel.units import GIB, MIB
from ultralab.machine.cgroups import (
    Cgroups,
    cpu_quota,
    limiting_groups,
    parse_cgroups,
    parse_cpu_quota,
    parse_inactive_file,
    parse_limit,
)


def test_groups_of_both_versions() -> None:
    text = "12:cpuset:/\n4:memory,hugetlb:/docker/c5\n3:cpu,cpuacct:/docker/c6\n0::/user.slice/a:b\n"
    assert parse_cgroups(text) == Cgroups("/user.slice/a:b", "/docker/c5", "/docker/c6")
    assert parse_cgroups("") == Cgroups("", "", "")


def test_limits() -> None:
    assert [parse_limit(text) for text in ("4294967296\n", "max\n", "9223372036854771712\n", "")] == [4 * GIB, 0, 0, 0]
    assert parse_inactive_file("anon 5\ninactive_file 7\n") == 7
    assert parse_inactive_file("inactive_file 7\ntotal_inactive_file 9\n") == 9
    assert parse_inactive_file("") == 0


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)


def test_each_ancestor_of_version_2_can_limit(tmp_path: Path) -> None:
    group(tmp_path / "a", memory_max=str(2 * GIB), memory_current=str(GIB), memory_stat=f"inactive_file {MIB}\n")
    group(tmp_path / "a" / "b", memory_max="max\n", memory_current="1")
    group(tmp_path / "other", memory_max="1", memory_current="1")
    assert limiting_groups(Cgroups("/a/b", ""), tmp_path) == ((2 * GIB, GIB - MIB),)


def test_a_container_of_version_1_sees_its_own_group_at_the_root(tmp_path: Path) -> None:
    root = tmp_path / "memory"
    group(root, memory_limit_in_bytes=str(GIB), memory_usage_in_bytes=str(3 * MIB))
    assert limiting_groups(Cgroups("/", "/docker/of-the-host"), tmp_path) == ((GIB, 3 * MIB),)


def test_without_groups_nothing_limits(tmp_path: Path) -> None:
    assert limiting_groups(Cgroups("/", "/"), tmp_path) == ()


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("200000 100000\n", 2),
        ("50000 100000\n", 1),
        ("max 100000\n", 0),
        ("-1 100000", 0),
        ("5 0", 0),
        ("", 0),
        (" ", 0),
    ],
)
def test_quotas(text: str, cores: int) -> None:
    assert parse_cpu_quota(text) == cores


def test_the_tightest_quota_around_a_process_counts(tmp_path: Path) -> None:
    group(tmp_path / "a", cpu_max="400000 100000\n")
    group(tmp_path / "a" / "b", cpu_max="max 100000\n")
    group(tmp_path / "cpu" / "c", cpu_cfs_quota_us="300000\n", cpu_cfs_period_us="100000\n")
    group(tmp_path / "cpu", cpu_cfs_quota_us="-1\n", cpu_cfs_period_us="100000\n")
    assert cpu_quota(Cgroups("/a/b", "", ""), tmp_path) == 4
    assert cpu_quota(Cgroups("/a/b", "", "/c"), tmp_path) == 3
    assert cpu_quota(Cgroups("/", "/", "/"), tmp_path) == 0
