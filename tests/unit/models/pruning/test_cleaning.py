"""Deleting what was agreed to: what could go, the log, other processes, the standing yes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.models.catalog.test_index import ONE

from ultralab.kernel.errors import FetchFailed
from ultralab.models.catalog.tags import tag
from ultralab.models.library import Library, model_path, records
from ultralab.models.pruning.candidates import candidates, free_space, from_far, remnants
from ultralab.models.pruning.cleaning import Rules, apply, low_space_finding, rules_for, standing
from ultralab.models.pruning.proposals import Proposal, proposals
from ultralab.models.records import write_record
from ultralab.models.store.acts import log_of
from ultralab.models.types import Derivation, ModelFile, ModelRecord
from ultralab.system import clock, locks


@pytest.fixture
def library(tmp_path: Path) -> Library:
    (tmp_path / "lab" / "models" / "metadata").mkdir(parents=True)
    return Library(tmp_path / "lab")


def put(library: Library, name: str, content: bytes = b"", days: int = 200, **values: Any) -> ModelRecord:
    """A model with one file, added so many days ago."""
    content = content or name.encode() * 100
    digest = hashlib.sha256(content).hexdigest()
    added = (clock.now() - timedelta(days=days)).isoformat()
    file = ModelFile("a.gguf", len(content), digest)
    source = values.pop("source", f"hf:org/{name}")
    record = replace(ONE, name=name, source=source, added=added, files=(file,), **values)
    library.blobs.mkdir(parents=True, exist_ok=True)
    (library.blobs / digest).write_bytes(content)
    folder = library.folder(record)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.gguf").unlink(missing_ok=True)
    (folder / "a.gguf").symlink_to(os.path.relpath(library.blobs / digest, folder))
    write_record(library.metadata, record)
    return record


def offered(library: Library, age_days: int = 90, **known: Any) -> tuple[Proposal, ...]:
    known.setdefault("last_used", {})
    found = candidates(library, **known)
    return proposals(found, remnants(library), now=clock.now(), free=free_space(library), wanted=0, age_days=age_days)


def log(library: Library) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_of(library).read_text().splitlines()]


def names(library: Library) -> list[str]:
    return [record.name for record in records(library)]


def test_what_a_model_alone_uses(library: Library, tmp_path: Path) -> None:
    put(library, "own", b"x" * 1000)
    put(library, "shared-a", b"y" * 500)
    put(library, "shared-b", b"y" * 500)
    adopted = put(library, "adopted", b"z" * 700)
    linked = put(library, "linked", b"w" * 700)
    gone = put(library, "gone", b"v" * 700)
    blob = library.blobs / adopted.sha256
    blob.rename(tmp_path / "theirs.gguf")
    blob.symlink_to(tmp_path / "theirs.gguf")
    (tmp_path / "hard.gguf").hardlink_to(library.blobs / linked.sha256)
    (library.blobs / gone.sha256).unlink()
    frees = {one.record.name: dict(one.frees) for one in candidates(library, last_used={})}
    assert frees.pop("own") == {"home": 1000}
    assert all(value == {} for value in frees.values())
    assert [one.what for one in offered(library)] == ["own:f32"]


def test_where_a_metadata_file_cannot_be_read_nothing_is_freed(library: Library) -> None:
    put(library, "own")
    (library.metadata / "broken--x.json").write_text("{")
    assert offered(library) == ()


def test_what_is_known_of_a_candidate(library: Library) -> None:
    put(library, "four", bits_per_weight=4.5, variant="q4", source="path:/x/y.gguf")
    put(library, "four", b"eight", bits_per_weight=8.5, variant="q8")
    tag(library, "four:q8", ["keep"])
    now = clock.now()
    four, eight = candidates(library, last_used={"four:q4": now}, in_use={"four:q8"})
    assert (four.better, four.refetchable, four.touched, four.keep, four.in_use) == (
        "four:q8",
        False,
        now,
        False,
        False,
    )
    assert (eight.better, eight.refetchable, eight.keep, eight.in_use) == ("", None, True, True)
    assert from_far(replace(ONE, source="")) is False


def test_deleting_and_its_log(library: Library) -> None:
    one = put(library, "one", revision="abc")
    put(library, "two")
    chosen = [proposal for proposal in offered(library) if proposal.what == "one:f32"]
    (act,) = apply(library, chosen)
    assert (act.what, act.freed, act.error) == ("one:f32", one.size, "")
    assert names(library) == ["two"]
    assert not (library.blobs / one.sha256).exists()
    assert not library.folder(one).exists()
    (line,) = log(library)
    assert {key: line[key] for key in ("act", "what", "bytes", "back", "sha256", "class", "standing")} == {
        "act": "removed", "what": "one:f32", "bytes": one.size, "back": "ultralab models pull hf:org/one (abc)",
        "sha256": one.sha256, "class": "refetchable", "standing": False,
    }  # fmt: skip
    assert "Not used for 200 days." in line["why"]
    assert line["files"] == [{"name": "a.gguf", "size": one.size, "sha256": one.sha256}]
    (again,) = apply(library, chosen)
    assert again.freed == 0
    assert "There is no model 'one:f32'" in again.error
    assert len(log(library)) == 1


def test_what_was_changed_since_stays(library: Library) -> None:
    for name in ("kept", "other", "goes"):
        put(library, name)
    chosen = offered(library)
    tag(library, "kept", ["keep"])
    put(library, "other", b"other bytes")
    acts = {act.what: act.error for act in apply(library, chosen)}
    assert [bool(acts[f"{name}:f32"]) for name in ("kept", "other", "goes")] == [True, True, False]
    assert names(library) == ["kept", "other"]
    assert [line["what"] for line in log(library)] == ["goes:f32"]


@contextmanager
def holding(path: Path, how: str) -> Iterator[None]:
    """Another process that holds a lock, for itself or shared with others, as an engine does while a model is loaded."""
    code = (
        "import fcntl, os, sys; d = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644);"
        "fcntl.flock(d, getattr(fcntl, sys.argv[2])); print('held', flush=True); sys.stdin.read()"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield
        assert child.stdin is not None
        child.stdin.close()


@pytest.mark.parametrize("how", ["LOCK_EX", "LOCK_SH"])
def test_a_model_that_another_process_uses_stays(library: Library, how: str) -> None:
    one = put(library, "one")
    put(library, "two")
    with holding(library.lock(f"model-{one.sha256}"), how):
        acts = {act.what: act.error for act in apply(library, offered(library))}
    assert "busy" in acts["one:f32"]
    assert acts["two:f32"] == ""
    assert names(library) == ["one"]
    assert model_path(library, one).is_file()


def test_unfinished_and_damaged_files(library: Library) -> None:
    old = (clock.now() - timedelta(days=3)).timestamp()
    key = "0123456789abcdef01234567"
    damaged = library.store.damaged / ("f" * 64)
    making = library.partial / "abc.def.making"
    fresh = library.partial / f"{key[::-1]}.partial"
    for path in (library.partial / f"{key}.partial", library.partial / f"{key}.journal", damaged, making / "a", fresh):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 5000)
        os.utime(path, (old, old))
    os.utime(making, (old, old))
    os.utime(fresh)
    chosen = offered(library)
    assert [(one.kind, one.what) for one in chosen] == [
        ("damaged", "f" * 64), ("unfinished", key), ("unfinished", "abc.def"),
    ]  # fmt: skip
    assert chosen[1].freed == 2 * chosen[0].freed >= 10_000
    os.utime(making / "a")
    with holding(library.lock(key), "LOCK_EX"):
        acts = apply(library, chosen)
    assert [bool(act.error) for act in acts] == [False, True, True]
    acts = apply(library, [one for one in offered(library) if one.what == key])
    assert [act.error for act in acts] == [""]
    assert sorted(path.name for path in library.partial.iterdir()) == [fresh.name, "abc.def.making"]
    assert not damaged.exists()


def derived_from(parent: ModelRecord) -> Derivation:
    return Derivation(
        parent=parent.ref, parent_sha256=parent.sha256, tool="gguf", tool_version="1", quantization="Q4_0"
    )


class Disk:
    """A disk that had ``free`` bytes when the library was as it is now; snapshots may keep what is deleted."""

    def __init__(self, library: Library, free: int, *, snapshots: bool = False) -> None:
        self.library, self.begun, self.free, self.snapshots = library, self._used(library), free, snapshots

    def __call__(self) -> Mapping[str, int]:
        return {"home": self.free if self.snapshots else self.free + self.begun - self._used(self.library)}

    def _used(self, library: Library) -> int:
        return sum(path.stat().st_size for path in library.blobs.iterdir())


def stand(
    library: Library, rules: Rules, free: Callable[[], Mapping[str, int]], still_there: Callable[[ModelRecord], bool]
) -> list[str]:
    acts = standing(
        library,
        rules,
        free=free,
        look=lambda: candidates(library, last_used={}, remakeable=lambda _record: True),
        verify_refetch=still_there,
    )
    assert [act.error for act in acts] == [""] * len(acts)
    return [act.what for act in acts]


@pytest.mark.parametrize("snapshots", [False, True])
def test_the_standing_yes_goes_no_further_than_the_wanted_space(library: Library, snapshots: bool) -> None:
    for number in range(4):
        put(library, f"m{number}", bytes([65 + number]) * 1000, days=200 - number)
    rules = rules_for("both", 90, 11_500)
    assert stand(library, rules, Disk(library, 10_000, snapshots=snapshots), lambda _r: True) == ["m0:f32", "m1:f32"]
    assert names(library) == ["m2", "m3"]
    assert [line["standing"] for line in log(library)] == [True, True]
    assert stand(library, rules, Disk(library, 20_000), lambda _r: True) == []


def test_the_standing_yes_asks_the_source_right_now(library: Library) -> None:
    for name in ("there", "gone", "unreachable", "private"):
        put(library, name)
    put(library, "local", source="path:/x")
    put(library, "young", days=10)
    asked: list[str] = []

    def still_there(record: ModelRecord) -> bool:
        asked.append(record.name)
        if record.name == "unreachable":
            raise FetchFailed("no network")
        return record.name == "there"

    everything = rules_for("both", 90, 10**15)
    assert stand(library, everything, Disk(library, 0), still_there) == ["there:f32"]
    assert sorted(asked) == ["gone", "private", "there", "unreachable"]
    assert sorted(names(library)) == ["gone", "local", "private", "unreachable", "young"]


def test_the_standing_yes_allows_only_its_classes(library: Library) -> None:
    parent = put(library, "parent")
    put(library, "child", derived=derived_from(parent))
    put(library, "orphan", derived=derived_from(replace(ONE, name="nobody")))
    assert stand(library, rules_for("ask", 90, 10**15), Disk(library, 0), lambda _r: True) == []
    assert stand(library, rules_for("derived", 90, 10**15), Disk(library, 0), lambda _r: True) == ["child:f32"]
    assert stand(library, rules_for("refetchable", 90, 10**15), Disk(library, 0), lambda _r: True) == ["parent:f32"]
    assert names(library) == ["orphan"]


def test_parent_and_child_do_not_both_vanish_unless_the_source_has_the_parent(library: Library) -> None:
    parent = put(library, "parent", b"p" * 9000)
    put(library, "child", derived=derived_from(parent))
    assert stand(library, rules_for("both", 90, 10**15), Disk(library, 0), lambda _r: True) == ["parent:f32"]
    assert names(library) == ["child"]


def test_of_two_processes_one_stands(library: Library) -> None:
    put(library, "one")
    with holding(library.lock("prune"), "LOCK_EX"):
        assert stand(library, rules_for("both", 90, 10**15), Disk(library, 0), lambda _r: True) == []
    assert names(library) == ["one"]


_PRUNE = """
import sys
from pathlib import Path
from ultralab.models.pruning.cleaning import apply
from ultralab.models.pruning.candidates import candidates
from ultralab.models.library import Library
from ultralab.models.pruning.proposals import proposals
from ultralab.system import clock
library = Library(Path(sys.argv[1]))
chosen = proposals(candidates(library, last_used={}), now=clock.now(), free={}, wanted=0, age_days=90)
print("ready", flush=True)
sys.stdin.readline()
print(sum(act.freed for act in apply(library, chosen)))
"""


def start(library: Library) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _PRUNE, str(library.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_two_processes_that_delete_the_same_free_it_once(library: Library) -> None:
    sizes = [put(library, f"m{number}").size for number in range(12)]
    running = [start(library) for _ in range(2)]
    for child in running:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    freed = [int(child.communicate()[0]) for child in running]
    assert sum(freed) == sum(sizes)
    assert names(library) == []
    assert sorted(line["what"] for line in log(library) if line["act"] == "removed") == sorted(
        f"m{number}:f32" for number in range(12)
    )


@pytest.mark.parametrize("lines", [1, 8])
def test_a_process_that_is_killed_leaves_a_sound_library_and_a_log_of_all_that_went(
    library: Library, lines: int
) -> None:
    made = {f"m{number}": put(library, f"m{number}") for number in range(14)}
    child = start(library)
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    while not log_of(library).exists() or len(log_of(library).read_bytes().splitlines()) < lines:
        assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.communicate()
    left = records(library)
    for record in left:
        assert model_path(library, record).read_bytes() == record.name.encode() * 100
    gone = {f"{name}:f32" for name in made} - {record.ref for record in left}
    logged = {json.loads(line)["what"] for line in log_of(library).read_text().splitlines()}
    assert gone <= logged
    assert len(logged - gone) <= 1
    apply(library, offered(library))
    assert names(library) == []


_FULL = """
import subprocess, sys
from pathlib import Path
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
sys.path.insert(0, sys.argv[2])
from tests.unit.models.pruning.test_cleaning import Library, apply, log, names, offered, put
library = Library(place / "lab")
put(library, "one", b"x" * 300_000)
put(library, "two", b"y" * 300_000)
tiny = [p for p in offered(library)]
with (place / "fill").open("wb", buffering=0) as stream:
    try:
        while True:
            stream.write(b"x" * 4096)
    except OSError as error:
        print(error.errno)
chosen = offered(library)
print([act.error for act in apply(library, chosen)])
print(names(library), [line["what"] for line in log(library)])
"""


def test_a_full_disk_keeps_nobody_from_deleting(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    root = Path(__file__).resolve().parents[3]
    command = ["unshare", "--mount", sys.executable, "-c", _FULL, str(place), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("28\n['', '']\n[] ['one:f32', 'two:f32']\n", "")


def test_a_copy_that_is_being_moved_stays(library: Library) -> None:
    copy = library.partial / f"{'ab' * 32}.move"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"x" * 9000)
    os.utime(copy, (1, 1))
    (proposal,) = offered(library)
    with locks.exclusive(library.lock("move-ab"), "moving"):
        (act,) = apply(library, [proposal])
        assert "busy" in act.error
    assert copy.exists()
    (act,) = apply(library, [proposal])
    assert (act.error, copy.exists()) == ("", False)


def test_low_space_tells_what_could_go(library: Library) -> None:
    put(library, "one", b"x" * 2048)
    chosen = offered(library)
    assert low_space_finding(chosen, {"home": 10 * 1024**3}, 1024**3).verdict == "pass"
    finding = low_space_finding(chosen, {"home": 1024**3}, 10 * 1024**3)
    assert (finding.verdict, finding.hint) == ("warn", "ultralab models prune")
    assert "home: 1.00 GiB free" in finding.detail
    assert "one:f32 (2.00 KiB): Not used for 200 days." in finding.detail
    assert "move models" in low_space_finding([], {"home": 0}, 1).hint
