"""A job's folder: what is written comes back as it was, and what is damaged reads as absent."""

from __future__ import annotations

import json
import os
import resource
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.jobs.store import attempts, record
from ultralab.jobs.store.attempts import Ended
from ultralab.jobs.store.record import Submitted
from ultralab.jobs.types import Dependency, Event, JobSpec, Needs
from ultralab.kernel.errors import Failure, FileAccess, FileDamaged
from ultralab.system.process import ProcessId

WHOLE = JobSpec(
    argv=("sh", "-c", "echo 'a \"b\"\n' && 训练 🙂", "", "\t\\ $HOME", os.fsdecode(b"\xff\xfe raw")),
    cwd=os.fsdecode(b"/home/\xe9l\xe8ve/\xe6\xa8\xa1\xe5\x9e\x8b"),
    name="训练-1",
    kind="experiment",
    owner="ann",
    priority=-3,
    needs=Needs(memory=2**40, gpu="exclusive", disk=17, network=True),
    after=(Dependency(3), Dependency(4, "end")),
    not_before=1e9 + 0.1,
    night=True,
    retries=2,
    idempotent=True,
    resumable=True,
    timeout=0.5,
    schedule="nightly",
)
EVENTS = [
    Event("hold", 1.0),
    Event("release", 2.25),
    Event("start", 3.0, 1, supervisor=ProcessId(17, "boot-3"), reservation=5),
    Event("end_badly", 4.0, 1, status=139, cause="signal"),
    Event("start", 5.0, 2, supervisor=ProcessId(18, "boot-9")),
    Event("end_well", 6.0, 2, status=0, cause="exit"),
]
ENDED: dict[str, object] = {
    "version": 1, "fence": 2, "at": 9.5, "status": 137, "signal": 9, "cause": "signal", "problem": "", "seconds": 3.25,
    "output_bytes": 10, "output_lost": 0, "left_behind": 1, "cpu_seconds": 2.0, "peak_rss_bytes": 4096, "later": "field",
}  # fmt: skip


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def written(place: Path, events: list[Event]) -> int:
    size = 0
    for event in events:
        size = record.append_event(place, event, size)
    return size


def test_the_names_of_folders(tmp_path: Path) -> None:
    assert record.job_folder(tmp_path, 17) == tmp_path / "000017"
    assert record.job_folder(tmp_path, 12_345_678) == tmp_path / "12345678"
    assert record.attempt_folder(tmp_path, 17, 2) == tmp_path / "000017" / "2"
    for name in ("000017", "1234567", "17", "0000017", "000000", "-00001", "damaged", "１２３４５６", "9" * 30):
        (tmp_path / name).mkdir()
    (tmp_path / "000018").write_text("a file")
    assert sorted(record.numbers(tmp_path)) == [17, 1_234_567]


def test_what_was_submitted_is_for_its_owner_only_and_comes_back(tmp_path: Path) -> None:
    submitted = Submitted(
        WHOLE, {"PATH": "/bin", "LINES": "a\nb", "RAW": os.fsdecode(b"\x80"), "空": "é🙂"}, 1e9 + 1 / 3
    )
    record.create(tmp_path, 17, submitted)
    place = tmp_path / "000017"
    assert (mode(place), mode(place / "job.json"), mode(place / "events.jsonl")) == (0o700, 0o600, 0o600)
    assert record.read_job(place) == submitted
    assert (place / "job.json").read_bytes().isascii()
    assert sorted(path.name for path in place.iterdir()) == ["events.jsonl", "job.json"]


def test_what_a_killed_submit_left_gives_way(tmp_path: Path) -> None:
    place = tmp_path / "000001"
    (place / "1").mkdir(parents=True)
    (place / ".job.json.x.part").write_text("half")
    (place / "events.jsonl").write_text('{"event": "ho')
    record.create(tmp_path, 1, Submitted(WHOLE, {}, 1.0))
    assert sorted(path.name for path in place.iterdir()) == ["events.jsonl", "job.json"]
    record.discard(tmp_path, 1)
    record.discard(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["events.jsonl", "3/begun.json"])
def test_the_folder_of_a_job_to_which_something_happened_stays(tmp_path: Path, what: str) -> None:
    place = tmp_path / "000001"
    (place / "3").mkdir(parents=True)
    (place / what).write_text('{"event": "hold", "at": 1}\n')
    with pytest.raises(FileDamaged) as caught:
        record.create(tmp_path, 1, Submitted(WHOLE, {}, 1.0))
    database = tmp_path / "queue.db"
    assert caught.value.message == f"{database} is damaged: it does not know job 1, whose folder is there"
    assert caught.value.data == {"path": str(database)}
    assert (place / what).read_text() == '{"event": "hold", "at": 1}\n'


def test_a_folder_that_cannot_be_filled_is_not_left(tmp_path: Path) -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="Circular"):
        record.create(tmp_path, 1, Submitted(WHOLE, {"A": endless}, 1.0))  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


raw_text = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.binary(max_size=20).map(os.fsdecode))


@settings(max_examples=60, deadline=None)
@given(argv=st.lists(raw_text, min_size=1), cwd=raw_text, environment=st.dictionaries(raw_text, raw_text))
def test_any_bytes_survive(argv: list[str], cwd: str, environment: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        submitted = Submitted(JobSpec(argv=tuple(argv), cwd=cwd, name="n"), environment, 0.0)
        record.create(Path(folder), 1, submitted)
        assert record.read_job(Path(folder) / "000001") == submitted


def damaged(**changes: object) -> str:
    data = json.loads(json.dumps({"version": 1, "submitted": 1.0, **record.form(WHOLE, {"A": "b"})}))
    for name, value in changes.items():
        target = data["spec"] if name in data["spec"] else data
        target[name] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "{}", "[" * 100_000, '{"version": 1}', damaged()[:200],
        damaged(argv="sh"), damaged(argv=[1]), damaged(argv=None), damaged(cwd=1), damaged(name=None),
        damaged(name="\udcff"), damaged(night=1), damaged(retries=True), damaged(priority=2**63), damaged(timeout="1"),
        damaged(not_before=float("nan")), damaged(needs={"memory": -1}), damaged(needs={"gpu": "big"}),
        damaged(needs={"rooms": 1}), damaged(after=[{"job": 1}]), damaged(after=[{"job": 1, "how": "never"}]),
        damaged(after=[{"job": 2, "how": "end"}, {"job": 2, "how": "success"}]), damaged(environment=["A"]),
        damaged(environment={"A": 1}), damaged(submitted="now"), damaged(submitted=float("nan")),
    ],
)  # fmt: skip
def test_a_damaged_job_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(FileDamaged) as caught:
        record.read_job(tmp_path)
    assert caught.value.message == f"{tmp_path / 'job.json'} is missing or damaged."
    assert caught.value.data == {"path": str(tmp_path / "job.json")}
    assert caught.value.hint


def test_a_job_file_without_what_an_older_version_did_not_know(tmp_path: Path) -> None:
    data = json.loads(damaged(unknown_to_us="x"))
    for name in ("schedule", "timeout", "resumable"):
        del data["spec"][name]
    data["spec"]["colour"] = "red"
    (tmp_path / "job.json").write_text(json.dumps(data))
    expected = replace(WHOLE, schedule="", timeout=None, resumable=False)
    assert record.read_job(tmp_path) == Submitted(expected, {"A": "b"}, 1.0)


def test_a_job_file_from_a_newer_version_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(damaged(version=2))
    with pytest.raises(Failure, match="was written by a newer ultralab") as caught:
        record.read_job(tmp_path)
    assert not isinstance(caught.value, FileDamaged)


def test_events_come_back(tmp_path: Path) -> None:
    size = written(tmp_path, EVENTS)
    assert record.read_events(tmp_path) == EVENTS
    assert record.whole_events(tmp_path) == size == (tmp_path / "events.jsonl").stat().st_size
    assert record.read_events(tmp_path / "none") == []
    assert record.whole_events(tmp_path / "none") == 0


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"event": "explode", "at": 1}', b'{"event": "hold"}',
        b'{"event": "hold", "at": "1"}', b'{"event": "hold", "at": NaN}', b'{"event": "hold", "at": true}',
        b'{"event": "start", "at": 1, "fence": 1.5}', b'{"event": "start", "at": 1, "supervisor": {"pid": 1}}',
        b'{"event": "start", "at": 1, "supervisor": {"pid": 1, "start": "\\udcff"}}',
        b'{"event": "lose", "at": 1, "cause": "fun"}', b'{"event": ["hold"], "at": 1}',
        b'{"event": "lose", "at": 1, "status": 100000000000000000000}',
    ],
)  # fmt: skip
def test_lines_that_nobody_wrote_are_passed_over(tmp_path: Path, line: bytes) -> None:
    written(tmp_path, EVENTS[:2])
    with (tmp_path / "events.jsonl").open("ab") as stream:
        stream.write(line + b"\n")
    size = (tmp_path / "events.jsonl").stat().st_size
    assert record.append_event(tmp_path, EVENTS[2], size) > size
    assert record.read_events(tmp_path) == EVENTS[:3]


def test_a_torn_last_line_is_passed_over_at_every_byte(tmp_path: Path) -> None:
    kept = written(tmp_path, EVENTS[:3])
    whole = written_size = record.append_event(tmp_path, EVENTS[3], kept)
    content = (tmp_path / "events.jsonl").read_bytes()
    for end in range(kept, whole):
        (tmp_path / "events.jsonl").write_bytes(content[:end])
        assert record.read_events(tmp_path) == EVENTS[:3]
        assert record.whole_events(tmp_path) == kept
    assert written_size == len(content)


@pytest.mark.parametrize("tail", [b'{"event": "cancel", "at": 9}\n', b'{"event": "can', b"\x00" * 700])
def test_what_did_not_happen_is_cut_before_the_next_event(tmp_path: Path, tail: bytes) -> None:
    recorded = written(tmp_path, EVENTS[:2])
    with (tmp_path / "events.jsonl").open("ab") as stream:
        stream.write(tail)
    after = record.append_event(tmp_path, EVENTS[2], recorded)
    assert record.read_events(tmp_path) == EVENTS[:3]
    assert record.whole_events(tmp_path) == after


def test_events_that_were_lost_do_not_spoil_the_next_one(tmp_path: Path) -> None:
    recorded = written(tmp_path, EVENTS[:3])
    content = (tmp_path / "events.jsonl").read_bytes()
    (tmp_path / "events.jsonl").write_bytes(content[: recorded - 5])
    record.append_event(tmp_path, EVENTS[3], recorded)
    assert record.read_events(tmp_path) == [*EVENTS[:2], EVENTS[3]]
    record.cut_events(tmp_path, 0)
    assert (tmp_path / "events.jsonl").read_bytes() == b""


def test_an_event_of_a_job_whose_folder_was_removed(tmp_path: Path) -> None:
    place = tmp_path / "000001"
    record.append_event(place, EVENTS[0], 400)
    assert record.read_events(place) == EVENTS[:1]
    assert mode(place) == 0o700


def test_what_the_supervisor_wrote(tmp_path: Path) -> None:
    (tmp_path / "begun.json").write_text(
        '{"version": 1, "fence": 2, "at": 7.5, "supervisor": {"pid": 1, "start": "s"}}'
    )
    (tmp_path / "worker.json").write_text('{"pid": 4711, "start": "boot-1"}')
    (tmp_path / "ended.json").write_text(json.dumps(ENDED))
    (tmp_path / "progress.json").write_text('{"version": 1, "steps": [], "said": ["hello"]}')
    assert attempts.has_begun(tmp_path)
    assert attempts.read_begun(tmp_path) == 7.5
    assert attempts.read_worker(tmp_path) == ProcessId(4711, "boot-1")
    assert attempts.read_ended(tmp_path) == Ended(2, 9.5, 137, 9, "signal", "", 3.25, 10, 0, 1, 2.0, 4096)
    assert attempts.read_progress(tmp_path) == {"version": 1, "steps": [], "said": ["hello"]}


@pytest.mark.parametrize("content", [None, "", "{", "[]", "7", '"x"', "[" * 100_000, '{"pid": "4711", "at": "x"}'])
def test_what_is_missing_or_damaged_reads_as_absent(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        for name in ("worker.json", "ended.json", "begun.json"):
            (tmp_path / name).write_text(content)
    assert attempts.read_worker(tmp_path) is None
    assert attempts.read_ended(tmp_path) is None
    assert attempts.read_begun(tmp_path) is None
    assert attempts.has_begun(tmp_path) is (content is not None)  # a start that may have been one is never made twice
    assert attempts.read_worker(tmp_path / "no" / "folder") is None
    assert not attempts.has_begun(tmp_path / "no" / "folder")


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000])
def test_progress_that_is_none(tmp_path: Path, content: str) -> None:
    assert attempts.read_progress(tmp_path) is None
    (tmp_path / "progress.json").write_text(content)
    assert attempts.read_progress(tmp_path) is None


def test_an_absurdly_long_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "progress.json").open("wb") as stream:
        stream.write(b"{}")
        stream.truncate(2**33)
    assert attempts.read_progress(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "value"), [("status", "0"), ("cause", "fun"), ("fence", 1.5), ("signal", "KILL"), ("at", None)]
)
def test_an_end_that_no_supervisor_writes(tmp_path: Path, name: str, value: object) -> None:
    (tmp_path / "ended.json").write_text(json.dumps({**ENDED, name: value}))
    assert attempts.read_ended(tmp_path) is None
    (tmp_path / "ended.json").write_text(json.dumps({key: item for key, item in ENDED.items() if key != name}))
    assert attempts.read_ended(tmp_path) is None


# What a job's processes may have put there


def put(place: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "link":
        place.symlink_to(place)
    elif kind == "giant":
        place.touch()
        os.truncate(place, 10**12)
    else:
        place.write_bytes(b"[" * 100_000)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "link", "giant", "deep"])
def test_nothing_that_a_job_puts_in_place_of_its_files_is_read(tmp_path: Path, kind: str) -> None:
    for name in ("progress.json", "worker.json", "begun.json", "ended.json", "events.jsonl"):
        put(tmp_path / name, kind)
    found = (attempts.read_progress(tmp_path), attempts.read_worker(tmp_path), attempts.read_begun(tmp_path))
    assert found == (None, None, None)
    assert (attempts.read_ended(tmp_path), attempts.read_mark(tmp_path)) == (None, "")
    assert attempts.has_begun(tmp_path)
    if kind != "folder":
        assert record.read_events(tmp_path) == []


def test_numbers_that_json_does_not_have_are_left_out(tmp_path: Path) -> None:
    text = '{"a": NaN, "b": [1, 1e999, {"c": -Infinity, "d": 2.5}], "e": "NaN", "f": {"g": Infinity}}'
    (tmp_path / "progress.json").write_text(text)
    assert attempts.read_progress(tmp_path) == {"b": [1, {"d": 2.5}], "e": "NaN", "f": {}}
    (tmp_path / "begun.json").write_text('{"at": 1e999}')
    assert attempts.read_begun(tmp_path) is None


def test_a_process_without_room_for_a_file_does_not_take_a_job_for_unended(tmp_path: Path) -> None:
    (tmp_path / "ended.json").write_text("{}")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(FileAccess):
            attempts.read_ended(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
