"""The library: pulling, finding, checking, removing, and what a crash or a careless hand leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.gguf_maker import STR, small_model
from tests.unit.models.web import Site, serve

from ultralab.kernel.checks import Finding
from ultralab.kernel.errors import (
    AlreadyExists,
    FetchFailed,
    FileDamaged,
    NotFound,
    RequestError,
    UltralabError,
    Unsupported,
)
from ultralab.models import (
    Library,
    ModelFile,
    ModelRecord,
    doctor_checks,
    find,
    model_path,
    problems,
    pull,
    rebuild,
    records,
    remove,
    verify,
)
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.records import read_record, write_record
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.models.sources.path import SOURCE as PATH_SOURCE
from ultralab.models.store.volumes import Volume

MODEL = small_model()
SHA256 = hashlib.sha256(MODEL).hexdigest()


class WebSource:
    """A source for tests: everything is at one address."""

    scheme = "web"

    def __init__(self, url: str = "", sha256: str = SHA256, version: str = "1") -> None:
        self.url, self.sha256, self.version = url, sha256, version

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        if not self.url:
            raise FetchFailed("no network")
        file = RemoteFile("Tiny-7B-Q4_0.gguf", self.url, None, self.sha256)
        return Resolution(f"web:{rest}=={self.version}", "tiny", self.version, "mit", "", (file,))


class Told:
    """Progress that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[str] = []

    @contextmanager
    def step(self, label: str, total: float | None = None, unit: str = "") -> Iterator[Told]:
        self.steps.append(label)
        yield self

    def advance(self, amount: float = 1) -> None:
        return None

    def describe(self, text: str) -> None:
        return None

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "lab 实验室")


def local(tmp_path: Path, name: str = "Tiny-7B-Q4_0.gguf", content: bytes = MODEL) -> Path:
    path = tmp_path / "elsewhere" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def take(library: Library, path: Path, name: str | None = None) -> ModelRecord:
    return pull(library, str(path), [FORMAT], [PATH_SOURCE], name=name, added_by="me")


def everything_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_pulled_model(library: Library, tmp_path: Path) -> None:
    source = local(tmp_path)
    record = take(library, source)
    assert record == ModelRecord(
        name="tiny-7b", variant="q4_0", title="Tiny-7B", family="tiny", format="gguf", architecture="llama",
        parameters=10560, quantization="Q4_0", bits_per_weight=round(8 * 6288 / 10560, 4), context=128,
        licence="apache-2.0", source=f"path:{source}", source_url=source.as_uri(), added=record.added, added_by="me",
        files=(ModelFile("Tiny-7B-Q4_0.gguf", len(MODEL), SHA256),), derived=None, description="",
        tensor_types={"Q4_0": 5760, "Q8_0": 272, "F32": 256}, source_sha256="",
        entry="Tiny-7B-Q4_0.gguf", active_parameters=10560, layers=1, dtype="F32",
    )  # fmt: skip
    assert everything_under(library.home / "store") == [
        f"blobs/sha256/{SHA256}",
        "tree/tiny/tiny-7b/q4_0/Tiny-7B-Q4_0.gguf",
    ]
    path = model_path(library, record)
    assert path.read_bytes() == MODEL
    assert path.readlink() == Path(f"../../../../blobs/sha256/{SHA256}")
    assert (library.blobs / SHA256).stat().st_mode & 0o777 == 0o444
    assert (records(library), find(library, "tiny-7b"), find(library, "Tiny-7B:Q4_0")) == ((record,), record, record)
    assert read_record(library.metadata / "tiny-7b--q4_0.json") == record
    verify(library, record)


def test_the_lab_may_be_moved(library: Library, tmp_path: Path) -> None:
    record = take(library, local(tmp_path))
    library.home.rename(tmp_path / "moved")
    assert model_path(Library(tmp_path / "moved"), record).read_bytes() == MODEL


@pytest.mark.parametrize("name", ["with space.gguf", "模型.gguf", "🚀 model.gguf", "a\nb.gguf", "x" * 240 + ".gguf"])
def test_paths_of_every_kind(library: Library, tmp_path: Path, name: str) -> None:
    record = take(library, local(tmp_path, name))
    assert model_path(library, record).read_bytes() == MODEL
    assert (records(library), problems(library)) == ((record,), ())


def test_a_file_name_that_is_no_text(library: Library, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.gguf")
    record = take(library, local(tmp_path, name))
    assert model_path(library, record).read_bytes() == MODEL
    assert records(library) == (record,)


def test_references_to_files(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = local(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    first = take(library, path)
    for ref in (f"path:{path}", "~/elsewhere/Tiny-7B-Q4_0.gguf", "path:~/elsewhere/Tiny-7B-Q4_0.gguf"):
        assert pull(library, ref, [FORMAT], [PATH_SOURCE]) == first
    for ref in ("nosuch:thing", "thing", "", " "):
        with pytest.raises(RequestError, match="no known source"):
            pull(library, ref, [FORMAT], [PATH_SOURCE])
    with pytest.raises(RequestError, match="No path"):  # the folder one stands in is not meant
        pull(library, "path:", [FORMAT], [PATH_SOURCE])
    for ref in (path.as_uri(), f"PATH:{path}"):
        assert pull(library, ref, [FORMAT], [PATH_SOURCE]) == first
    assert pull(library, str(path.parent), [FORMAT], [PATH_SOURCE]).sha256 == first.sha256  # a folder with one model
    (tmp_path / "empty").mkdir()
    for bad in (str(tmp_path / "no.gguf"), str(tmp_path / "empty")):
        with pytest.raises(RequestError):
            pull(library, bad, [FORMAT], [PATH_SOURCE])


def test_pulling_again_fetches_nothing(library: Library) -> None:
    with serve(Site(MODEL)) as site:
        source = WebSource(site.url)
        first = pull(library, "web:tiny", [FORMAT], [source])
        asked = list(site.asked)
        told = Told()
        again = pull(library, "web:tiny", [FORMAT], [source], told)
    assert (again, told.said, told.steps) == (first, ["tiny-7b:q4_0 is already in the library."], [])
    assert site.asked == asked
    assert first.licence == "apache-2.0"
    assert (first.source, first.source_sha256) == ("web:tiny==1", "")


def test_without_network_what_is_here_is_used(library: Library) -> None:
    with serve(Site(MODEL)) as site:
        first = pull(library, "web:tiny", [FORMAT], [WebSource(site.url)])
    told = Told()
    assert pull(library, "web:tiny", [FORMAT], [WebSource()], told) == first
    assert told.said == ["The source cannot be asked; tiny-7b:q4_0 is in the library and is used."]
    with pytest.raises(FetchFailed):
        pull(library, "web:other", [FORMAT], [WebSource()])


def test_a_lost_file_is_fetched_again(library: Library) -> None:
    with serve(Site(MODEL)) as site:
        first = pull(library, "web:tiny", [FORMAT], [WebSource(site.url)])
        (library.blobs / SHA256).unlink()
        with pytest.raises(NotFound, match="missing") as caught:
            model_path(library, first)
        assert "ultralab models pull web:tiny==1" in caught.value.hint
        assert pull(library, "web:tiny", [FORMAT], [WebSource(site.url)]) == first
    verify(library, first)


def test_the_same_bytes_from_elsewhere_are_the_same_model(library: Library, tmp_path: Path) -> None:
    first = take(library, local(tmp_path))
    assert take(library, local(tmp_path, "Tiny-7B.Q4_0.gguf")) == first
    other = take(library, local(tmp_path), name="mine")
    assert (other.ref, len(everything_under(library.blobs))) == ("mine:q4_0", 1)


def test_other_bytes_under_the_same_name_are_refused(library: Library, tmp_path: Path) -> None:
    first = take(library, local(tmp_path))
    changed = local(tmp_path, content=small_model(general__name=(STR, "Changed")))
    with pytest.raises(AlreadyExists, match="another model tiny-7b:q4_0"):
        take(library, changed)
    assert records(library) == (first,)
    assert take(library, changed, name="tiny-changed").ref == "tiny-changed:q4_0"


@pytest.mark.parametrize("name", ["Not A Name", "../up", "a--b", ""])
def test_names_that_cannot_be(library: Library, tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match="cannot be a model's name"):
        take(library, local(tmp_path), name=name)


def test_files_that_are_no_model_leave_nothing(library: Library, tmp_path: Path) -> None:
    for content, kind in ((b"hello", Unsupported), (MODEL[:-5], FileDamaged), (MODEL[:100], FileDamaged)):
        with pytest.raises(UltralabError) as caught:
            take(library, local(tmp_path, content=content))
        assert type(caught.value) is kind
    assert everything_under(library.home / "store") == []
    assert records(library) == ()


def test_finding(library: Library, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        find(library, "anything")
    assert "pull" in caught.value.hint
    take(library, local(tmp_path))
    take(library, local(tmp_path, "Tiny-7B-Q8_0.gguf", small_model(general__name=(STR, "b"))))
    with pytest.raises(RequestError, match="several variants") as several:
        find(library, "tiny-7b")
    assert several.value.data["choices"] == ["tiny-7b:q4_0", "tiny-7b:q8_0"]
    with pytest.raises(NotFound) as near:
        find(library, "tiny-7b:q4_1")
    assert near.value.hint.startswith("Did you mean tiny-7b:q4_0")
    with pytest.raises(NotFound) as far:
        find(library, "zzz")
    assert far.value.hint == "In the library: tiny-7b:q4_0, tiny-7b:q8_0."


def test_one_original_is_found_among_derived_ones(library: Library, tmp_path: Path) -> None:
    original = take(library, local(tmp_path))
    derivation = {
        "parent": original.ref,
        "parent_sha256": SHA256,
        "tool": "t",
        "tool_version": "1",
        "quantization": "Q8_0",
    }
    write_record(library.metadata, replace(original, variant="q8_0", derived=derivation))  # type: ignore[arg-type]
    assert find(library, "tiny-7b") == original
    assert [record.ref for record in records(library)] == ["tiny-7b:q4_0", "tiny-7b:q8_0"]


def test_damage_is_found_by_size_and_by_hash(library: Library, tmp_path: Path) -> None:
    record = take(library, local(tmp_path))
    blob = library.blobs / SHA256
    blob.chmod(0o644)
    blob.write_bytes(MODEL[:-1] + b"x")
    model_path(library, record)
    with pytest.raises(FileDamaged, match="SHA-256"):
        verify(library, record)
    assert (library.store.damaged / SHA256).read_bytes() == MODEL[:-1] + b"x"
    with pytest.raises(FileDamaged, match="taken aside"):
        model_path(library, record)
    blob.write_bytes(MODEL[:-1])
    with pytest.raises(FileDamaged, match=f"{len(MODEL) - 1} bytes instead of {len(MODEL)}"):
        model_path(library, record)


def test_removing_keeps_shared_bytes(library: Library, tmp_path: Path) -> None:
    first, second = take(library, local(tmp_path)), take(library, local(tmp_path), name="mine")
    assert remove(library, "tiny-7b") == first
    assert everything_under(library.home / "store") == [
        f"blobs/sha256/{SHA256}",
        "tree/tiny/mine/q4_0/Tiny-7B-Q4_0.gguf",
    ]
    assert (records(library), remove(library, "mine:q4_0")) == ((second,), second)
    assert (everything_under(library.home / "store"), records(library)) == ([], ())
    with pytest.raises(NotFound):
        remove(library, "mine")


def test_the_index_follows_the_files(library: Library, tmp_path: Path) -> None:
    record = take(library, local(tmp_path))
    path = library.metadata / "tiny-7b--q4_0.json"
    text = path.read_text()
    path.write_text(text.replace('"Tiny-7B"', '"Renamed by hand"'))
    assert records(library) == (replace(record, title="Renamed by hand"),)
    path.unlink()
    assert records(library) == ()
    path.write_text(text)
    assert records(library) == (record,)


@pytest.mark.parametrize("harm", ["missing", "garbage", "truncated"])
def test_a_lost_index_is_made_again(library: Library, tmp_path: Path, harm: str) -> None:
    record = take(library, local(tmp_path))
    if harm == "missing":
        library.catalog.unlink()
    else:
        content = b"not a database " * 1000 if harm == "garbage" else library.catalog.read_bytes()[:5000]
        library.catalog.write_bytes(content)
    assert records(library) == (record,)
    assert rebuild(library) == 1


BROKEN: dict[str, Callable[[dict[str, Any]], str]] = {
    "no JSON": lambda data: "{",
    "no object": lambda data: "[]",
    "a field is missing": lambda data: json.dumps({key: value for key, value in data.items() if key != "parameters"}),
    "a wrong type": lambda data: json.dumps({**data, "parameters": "many"}),
    "a path for a name": lambda data: json.dumps({**data, "name": "../../etc"}),
    "a path for a file": lambda data: json.dumps({**data, "files": [{**data["files"][0], "name": "../../../x"}]}),
    "a path for a hash": lambda data: json.dumps({**data, "files": [{**data["files"][0], "sha256": "../" * 21 + "x"}]}),
    "no files": lambda data: json.dumps({**data, "files": []}),
    "half a derivation": lambda data: json.dumps({**data, "derived": {"parent": "x"}}),
    "another model's name": lambda data: json.dumps({**data, "variant": "q8_0"}),
    "a newer schema": lambda data: json.dumps({**data, "schema": 99}),
    "deeply nested": lambda data: "[" * 100_000,
}


@pytest.mark.parametrize("harm", BROKEN)
def test_an_unreadable_metadata_file_is_named_and_the_others_live(library: Library, tmp_path: Path, harm: str) -> None:
    take(library, local(tmp_path))
    other = take(library, local(tmp_path), name="other")
    path = library.metadata / "tiny-7b--q4_0.json"
    path.write_text(BROKEN[harm](json.loads(path.read_text())))
    assert records(library) == (other,)
    (problem,) = problems(library)
    assert str(path) in problem.message
    assert problem.hint
    with pytest.raises(AlreadyExists, match="cannot be read"):
        take(library, local(tmp_path), name="tiny-7b")


def test_doctor_finds_nothing_in_good_order(library: Library, tmp_path: Path) -> None:
    assert [check.run().verdict for check in doctor_checks(library)] == ["pass"] * 6
    take(library, local(tmp_path))
    found = {check.name: check.run() for check in doctor_checks(library)}
    assert found.pop("models.volumes").detail.startswith("home: ")
    assert found == {
        "models.metadata": Finding("pass", "1 models, the index agrees with their files"),
        "models.files": Finding("pass", "1 models, 6.88 KiB"),
        "models.links": Finding("pass", "nothing is left over"),
        "models.partial": Finding("pass", "no unfinished download"),
        "models.damaged": Finding("pass", "no damaged file"),
    }


def test_doctor_finds_each_harm(library: Library, tmp_path: Path) -> None:
    take(library, local(tmp_path))
    (library.blobs / SHA256).unlink()
    (library.blobs / ("0" * 64)).write_bytes(b"orphan")
    library.partial.mkdir(exist_ok=True)
    (library.partial / "x.partial").write_bytes(b"half")
    library.store.damaged.mkdir()
    (library.store.damaged / SHA256).write_bytes(b"bad")
    (library.metadata / "bad--one.json").write_text("{")
    away = Library(library.home, (Volume("ssd", library.home.parent / "pulled out"),))
    assert doctor_checks(away)[1].run().verdict == "warn"
    found = {check.name: check.run() for check in doctor_checks(library)}
    assert {name: finding.verdict for name, finding in found.items()} == {
        "models.metadata": "fail", "models.volumes": "pass", "models.files": "fail", "models.links": "warn",
        "models.partial": "warn", "models.damaged": "warn",
    }  # fmt: skip
    assert "bad--one.json" in found["models.metadata"].detail
    assert SHA256 in found["models.files"].detail
    assert all(finding.hint for finding in found.values() if finding.verdict != "pass")


def test_doctor_tells_a_changed_file_and_a_lost_name(library: Library, tmp_path: Path) -> None:
    record = take(library, local(tmp_path))
    (library.folder(record) / "Tiny-7B-Q4_0.gguf").unlink()
    finding = doctor_checks(library)[2].run()
    assert (finding.verdict, finding.hint) == ("warn", "Run: ultralab models reindex")
    assert "tree/tiny/tiny-7b/q4_0/Tiny-7B-Q4_0.gguf" in finding.detail
    os.utime(library.blobs / SHA256, (1, 1))
    finding = doctor_checks(library)[2].run()
    assert (finding.verdict, finding.hint) == ("warn", "Run: ultralab models verify")
    assert SHA256 in finding.detail
    verify(library, record)
    assert doctor_checks(library)[2].run().verdict == "pass"


CHILD = """
import sys
from pathlib import Path
from ultralab.models import Library, pull
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.sources.path import SOURCE
print(pull(Library(Path(sys.argv[1])), sys.argv[2], [FORMAT], [SOURCE]).ref, flush=True)
"""


def start_pull(library: Library, path: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", CHILD, str(library.home), str(path)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_two_processes_pull_the_same_model_at_once(library: Library, tmp_path: Path) -> None:
    path = local(tmp_path)
    with start_pull(library, path) as one, start_pull(library, path) as two:
        assert [child.communicate(timeout=60)[0] for child in (one, two)] == ["tiny-7b:q4_0\n"] * 2
    assert (one.returncode, two.returncode) == (0, 0)
    assert [check.run().verdict for check in doctor_checks(library)] == ["pass"] * 6


def test_a_pull_that_was_killed_leaves_only_partial_files(library: Library, tmp_path: Path) -> None:
    path = local(tmp_path, content=MODEL + bytes(300 * 1024 * 1024))
    with start_pull(library, path) as child:
        for _attempt in range(1000):
            if library.partial.exists() and everything_under(library.partial):
                break
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert len(everything_under(library.partial)) == 1
    assert everything_under(library.home / "store") == [f"partial/{everything_under(library.partial)[0]}"]
    assert records(library) == ()
    path.write_bytes(MODEL)
    take(library, path)
    assert [check.run().verdict for check in doctor_checks(library)] == ["pass"] * 6


def test_importing_the_room_loads_nothing_heavy() -> None:
    script = "import sys, ultralab.models; print([name for name in ('numpy', 'gguf', 'httpx') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
