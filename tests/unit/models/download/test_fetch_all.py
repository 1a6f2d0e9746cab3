"""All files of a model under one bar; what an interrupted call left; who may fetch at the same time."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fault_server import Site, hang_up_after, plainly, serve, status

from ultralab.kernel.errors import Busy, DiskFull, FetchFailed, FileDamaged, NotFound, RequestError
from ultralab.kernel.progress import SILENT
from ultralab.models.download import Patience, discard, fetch, fetch_all, key_of, leftovers
from ultralab.models.download.partial import hold
from ultralab.models.sources.base import RemoteFile

BLOCK = 8 * 1024 * 1024
BIG = random.Random(5).randbytes(2 * BLOCK + 5)
SMALL = [random.Random(number).randbytes(10_000 + number) for number in range(6)]
QUICK = Patience(tries=2, first_wait=0.01, longest=0.02, stall=2)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Watched:
    """What a person would see."""

    def __init__(self) -> None:
        self.done = 0.0
        self.steps: list[tuple[str, float | None, str]] = []
        self.texts: list[str] = []
        self.on_bytes = threading.Event()
        self.interrupt = False

    @contextmanager
    def step(self, label: str, total: float | None = None, unit: str = "") -> Iterator[Watched]:
        self.steps.append((label, total, unit))
        yield self

    def advance(self, amount: float = 1) -> None:
        self.done += amount
        self.on_bytes.set()
        if self.interrupt:
            raise KeyboardInterrupt

    def describe(self, text: str) -> None:
        self.texts.append(text)

    def say(self, text: str) -> None:
        self.texts.append(text)


@contextmanager
def model(*, rate: float = 0) -> Iterator[tuple[list[Site], list[RemoteFile]]]:
    """A model of one big file and six small ones, each on a server of its own."""
    contents = [BIG, *SMALL]
    sites = [Site(content, etag='"1"', rate=rate) for content in contents]
    with contextmanager_of(sites):
        files = [
            RemoteFile(f"part {number} 模型.bin", site.url, len(site.content), sha256(site.content))
            for number, site in enumerate(sites)
        ]
        yield sites, files


@contextmanager
def contextmanager_of(sites: list[Site]) -> Iterator[None]:
    if not sites:
        yield
        return
    with serve(sites[0]), contextmanager_of(sites[1:]):
        yield


def test_all_files_under_one_bar(tmp_path: Path) -> None:
    watched = Watched()
    with model() as (sites, files):
        staged = fetch_all(files, tmp_path, watched, patience=QUICK)
    assert [(one.name, one.size, one.sha256) for one in staged] == [
        (file.name, file.size, file.sha256) for file in files
    ]
    assert [one.path.read_bytes() for one in staged] == [BIG, *SMALL]
    whole = len(BIG) + sum(map(len, SMALL))
    assert (watched.steps, watched.done) == ([("Downloading 7 files", whole, "bytes")], whole)
    assert any("of 7)" in text for text in watched.texts)
    assert sorted(tmp_path.iterdir()) == sorted(one.path for one in staged)
    assert [len(site.asked) for site in sites[1:]] == [1] * 6


def test_what_arrived_before_an_error_is_not_fetched_again(tmp_path: Path) -> None:
    with model() as (sites, files):
        sites[0].faults = [plainly, hang_up_after(100_000)]
        sites[0].always = status(500)
        with pytest.raises(FetchFailed) as caught:
            fetch_all(files, tmp_path, SILENT, patience=QUICK)
        assert "kept" in caught.value.hint
        sites[0].always = None
        staged = fetch_all(files, tmp_path, SILENT, patience=QUICK)
        assert [sha256(one.path.read_bytes()) for one in staged] == [file.sha256 for file in files]
        assert [site.sent for site in sites] == [len(BIG), *map(len, SMALL)]


def test_files_without_a_hash_are_taken_up_where_the_server_has_them_still(tmp_path: Path) -> None:
    with serve(Site(SMALL[0], etag='"1"')) as one, serve(Site(BIG, etag='"2"', always=status(404))) as two:
        files = [RemoteFile("a", one.url, len(SMALL[0]), ""), RemoteFile("b", two.url, len(BIG), "")]
        with pytest.raises(NotFound):
            fetch_all(files, tmp_path, SILENT, patience=QUICK)
        two.always = None
        staged = fetch_all(files, tmp_path, SILENT, patience=QUICK)
        assert [found.path.read_bytes() for found in staged] == [SMALL[0], BIG]
        assert one.sent <= len(SMALL[0]) + 1
        one.content, one.etag = SMALL[1][: len(SMALL[0])], '"new"'
    assert sorted(tmp_path.iterdir()) == sorted(found.path for found in staged)


def test_space_for_all_is_asked_for_first(tmp_path: Path) -> None:
    with model() as (sites, files):
        files.append(RemoteFile("huge", sites[0].url + "?huge", 10**17, ""))
        with pytest.raises(DiskFull):
            fetch_all(files, tmp_path, SILENT, patience=QUICK)
        assert [site.asked for site in sites] == [[]] * 7


def test_a_wrong_small_file_ends_it(tmp_path: Path) -> None:
    with model() as (sites, files):
        sites[3].content = SMALL[2][::-1]
        with pytest.raises(FileDamaged):
            fetch_all(files, tmp_path, SILENT, patience=QUICK)
        assert not any(tmp_path.glob(f"{key_of(files[3])}*"))


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    with model() as (_sites, files), pytest.raises(RequestError):
        fetch_all([files[0], files[0]], tmp_path, SILENT)


def test_no_files_are_no_work(tmp_path: Path) -> None:
    assert fetch_all([], tmp_path, SILENT) == ()


def test_far_and_near_files_together(tmp_path: Path) -> None:
    near = tmp_path / "near.bin"
    near.write_bytes(SMALL[1])
    with serve(Site(SMALL[0])) as site:
        files = [RemoteFile("n", near.as_uri(), len(SMALL[1]), ""), RemoteFile("f", site.url, None, "")]
        staged = fetch_all(files, tmp_path / "in", SILENT, patience=QUICK)
    assert [one.path.read_bytes() for one in staged] == [SMALL[1], SMALL[0]]


def test_an_interrupt_ends_it_at_once_and_keeps_what_came(tmp_path: Path) -> None:
    watched = Watched()
    watched.interrupt = True
    with serve(Site(BIG, etag='"1"', rate=1e6)) as site:
        remote = RemoteFile("f", site.url, len(BIG), sha256(BIG))
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            fetch(remote, tmp_path, watched, patience=QUICK)
        assert time.monotonic() - begun < 4  # at this rate the whole takes longer
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("download")]
        site.rate = 0
        have = leftovers(tmp_path)[0].have
        assert have > 0
        number = len(site.asked)
        assert fetch(remote, tmp_path, SILENT, patience=QUICK).sha256 == sha256(BIG)
        assert f"bytes={have}-{BLOCK - 1}" in site.asked[number:]


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with serve(Site(BIG, etag='"1"', rate=4e6)) as site:
        remote = RemoteFile("f", site.url, len(BIG), sha256(BIG))
        watched, results = Watched(), []
        other = threading.Thread(target=lambda: results.append(fetch(remote, tmp_path, watched)))
        other.start()
        assert watched.on_bytes.wait(20)
        with pytest.raises(Busy):
            fetch(remote, tmp_path, SILENT)
        with pytest.raises(Busy):
            discard(tmp_path, key_of(remote))
        site.rate = 0
        other.join()
    assert results[0].path.read_bytes() == BIG


def interrupted(tmp_path: Path, site: Site, digest: str) -> RemoteFile:
    """A download that broke in its second block."""
    remote = RemoteFile("f", site.url, None, digest)
    site.faults = [plainly, hang_up_after(100_000)]
    with pytest.raises(FetchFailed):
        fetch(remote, tmp_path, SILENT, patience=Patience(tries=1), connections=1)
    return remote


def test_leftovers_are_told_and_discarded(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "none") == ()
    (tmp_path / "something else.partial").write_bytes(b"not ours")
    (tmp_path / f"{'0' * 24}.journal").write_bytes(b"alone")
    with serve(Site(BIG, etag='"1"')) as site:
        remote = interrupted(tmp_path, site, sha256(BIG))
    alone, found = sorted(leftovers(tmp_path), key=lambda left: left.key != "0" * 24)
    assert (alone.have, alone.size) == (5, None)
    assert (found.key, found.have, found.size) == (key_of(remote), BLOCK + 100_000, len(BIG))
    assert found.path == tmp_path / f"{found.key}.partial"
    for left in (alone, found):
        discard(tmp_path, left.key)
    assert [path.name for path in tmp_path.iterdir()] == ["something else.partial"]
    with pytest.raises(ValueError, match="evil"):
        discard(tmp_path, "../evil")


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("place", [5, BLOCK + 5, BLOCK + 99_999])
def test_after_a_power_cut_only_the_damaged_block_comes_again(tmp_path: Path, place: int, hashed: bool) -> None:
    with serve(Site(BIG, etag='"1"')) as site:
        remote = interrupted(tmp_path, site, sha256(BIG) if hashed else "")
        partial = tmp_path / f"{key_of(remote)}.partial"
        descriptor = hold(partial)
        os.pwrite(descriptor, bytes(1) if BIG[place] else b"\1", place)
        os.close(descriptor)
        watched = Watched()
        fetched = fetch(remote, tmp_path, watched, patience=QUICK)
        assert fetched.path.read_bytes() == BIG
        assert (watched.done, watched.steps[0][1]) == (len(BIG), len(BIG))
        assert site.sent == len(BIG) + BLOCK


def test_a_journal_that_is_damaged_costs_a_new_beginning(tmp_path: Path) -> None:
    with serve(Site(BIG, etag='"1"')) as site:
        remote = interrupted(tmp_path, site, sha256(BIG))
        (tmp_path / f"{key_of(remote)}.journal").write_bytes(b"rubbish")
        assert fetch(remote, tmp_path, SILENT, patience=QUICK).path.read_bytes() == BIG


def test_a_partial_that_became_shorter_is_not_taken_up(tmp_path: Path) -> None:
    with serve(Site(BIG, etag='"1"')) as site:
        remote = interrupted(tmp_path, site, sha256(BIG))
        os.truncate(tmp_path / f"{key_of(remote)}.partial", 1000)
        assert fetch(remote, tmp_path, SILENT, patience=QUICK).path.read_bytes() == BIG
