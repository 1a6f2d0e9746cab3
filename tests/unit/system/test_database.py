"""The door to SQLite, with a room of its own made for the test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from ultralab.kernel.errors import Busy, Failure, FileAccess, FileDamaged
from ultralab.system.database import Database, named_queries, open_database

ROOM = "ultralab_test_room"
QUERIES = """-- Notes, in the order of their making (注释).

-- name: add
INSERT INTO note (text) VALUES (:text) RETURNING id;

-- name: everything
SELECT id, text FROM note ORDER BY id;

-- name: wrong
SELECT text FROM nowhere;
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with queries and one migration, importable; its folder."""
    folder = tmp_path / "rooms" / ROOM
    (folder / "migrations").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "queries.sql").write_text(QUERIES, encoding="utf-8")
    (folder / "migrations" / "0001_notes.sql").write_text("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT);\n")
    monkeypatch.syspath_prepend(folder.parent)
    sys.modules.pop(ROOM, None)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "notes.db"


def texts(database: Database) -> list[object]:
    return [row["text"] for row in database.run("everything")]


def test_named_queries() -> None:
    found = named_queries(QUERIES)
    assert list(found) == ["add", "everything", "wrong"]
    assert found["everything"] == "SELECT id, text FROM note ORDER BY id;"


def test_what_is_written_is_there_when_it_is_opened_again(room: Path, path: Path) -> None:
    first = open_database(path, ROOM)
    assert first.run("add", text="one") == [{"id": 1}]
    first.close()
    second = open_database(path, ROOM)
    assert second.run("everything") == [{"id": 1, "text": "one"}]
    assert second.integrity() == "ok"


def test_it_is_kept_safely(room: Path, path: Path) -> None:
    open_database(path, ROOM)
    with_pragmas = open_database(path, ROOM)._connection
    read = {
        name: next(iter(with_pragmas.execute(f"PRAGMA {name}")))[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
    }
    assert read == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0}
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)


def test_migrations_go_on_from_where_a_file_is(room: Path, path: Path) -> None:
    open_database(path, ROOM).run("add", text="old")
    (room / "migrations" / "0002_stars.sql").write_text(
        "-- Two statements; a comment; with a ';' inside.\n"
        "ALTER TABLE note ADD COLUMN stars INTEGER DEFAULT 3;\nUPDATE note SET text = text || ';';\n"
    )
    (room / "migrations" / "0010_upper.sql").write_text("UPDATE note SET text = upper(text);")
    (room / "migrations" / "readme.txt").write_text("no migration")
    for _ in range(2):
        database = open_database(path, ROOM)
        assert texts(database) == ["OLD;"]
        assert next(iter(database._connection.execute("PRAGMA user_version")))[0] == 10


def test_a_migration_that_fails_changes_nothing(room: Path, path: Path) -> None:
    open_database(path, ROOM).run("add", text="old")
    wrong = room / "migrations" / "0002_wrong.sql"
    wrong.write_text("UPDATE note SET text = 'new'; UPDATE nowhere SET x = 1;")
    with pytest.raises(Failure, match="no such table: nowhere"):
        open_database(path, ROOM)
    wrong.unlink()
    assert texts(open_database(path, ROOM)) == ["old"]


def test_a_newer_file_is_refused_and_kept(room: Path, path: Path) -> None:
    database = open_database(path, ROOM)
    database._connection.execute("PRAGMA user_version=2")
    database.close()
    before = path.read_bytes()
    with pytest.raises(Failure) as caught:
        open_database(path, ROOM)
    assert caught.value.message == f"{path} was written by a newer ultralab."
    assert caught.value.hint == "Upgrade ultralab, or use another lab (--home)."
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is not a database, and it is long enough to be read as one. " * 20])
def test_a_file_that_is_no_database_is_refused_and_kept(room: Path, path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(FileDamaged) as caught:
        open_database(path, ROOM)
    assert caught.value.message.startswith(f"{path} is damaged: ")
    assert caught.value.hint
    assert path.read_bytes() == content


def test_a_damaged_page_is_noticed(room: Path, path: Path) -> None:
    database = open_database(path, ROOM)
    with database.transaction():
        for number in range(2000):
            database.run("add", text=f"note {number} " + "x" * 50)
    database.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * len(content[4096:])
    path.write_bytes(content)
    damaged = open_database(path, ROOM)
    with pytest.raises(FileDamaged):
        damaged.run("everything")
    assert damaged.integrity() != "ok"


def test_a_folder_in_the_place_of_a_file(room: Path, path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(Failure, match="unable to open database file"):
        open_database(path, ROOM)
    (path / "file").write_text("x")
    with pytest.raises(FileAccess):
        open_database(path / "file" / "notes.db", ROOM)


# Opens the database on a read-only disk (its folder, mounted on itself), alone and beside a connection from before.
READ_ONLY = """
import subprocess, sys
from pathlib import Path
from ultralab.kernel.errors import FileAccess
from ultralab.system.database import open_database
sys.path.insert(0, sys.argv[2])
path = Path(sys.argv[1])
database = open_database(path, "ultralab_test_room")
database.run("add", text="one")
if sys.argv[3] == "closed":
    database.close()
place = str(path.parent)
subprocess.run(["mount", "--bind", place, place], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
try:
    open_database(path, "ultralab_test_room").run("add", text="two")
except FileAccess as error:
    print(error.message)
    print(error.hint)
    print(error.data)
"""

# A mount needs a name space of its own, which Linux gives to any user, unless it was hardened.
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")

if shutil.which("unshare") and subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:

    @pytest.mark.parametrize("before", ["closed", "open"])
    def test_a_read_only_disk_is_explained(room: Path, path: Path, before: str) -> None:
        answer = subprocess.run(
            [*OWN_MOUNTS, sys.executable, "-c", READ_ONLY, str(path), str(room.parent), before],
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.stdout.splitlines() == [
            f"{path} cannot be used: {path.parent} is read-only here.",
            "Make it writable for this user (or its disk, if that is read-only), or use another lab (--home).",
            f"{{'path': '{path}'}}",
        ], answer.stderr


def test_rows_as_they_come(room: Path, path: Path) -> None:
    database = open_database(path, ROOM)
    assert database.tuples("everything") == []
    assert database.run("everything") == []
    assert database.tuples("add", text="one") == [(1,)]
    database.run("add", text=None)
    assert database.tuples("everything") == [(1, "one"), (2, None)]
    assert database.run("everything") == [{"id": 1, "text": "one"}, {"id": 2, "text": None}]


@pytest.mark.parametrize("read", [Database.run, Database.tuples])
def test_a_text_that_is_none_is_damage(room: Path, path: Path, read: Callable[[Database, str], object]) -> None:
    database = open_database(path, ROOM)
    database._connection.execute("INSERT INTO note (text) VALUES (CAST(x'fffe' AS TEXT))")
    with pytest.raises(FileDamaged) as caught:
        read(database, "everything")
    assert caught.value.message.startswith(f"{path} is damaged: ")
    assert caught.value.data == {"path": str(path)}


def test_another_file_in_its_place_is_noticed_and_taken_up(room: Path, path: Path) -> None:
    database = open_database(path, ROOM)
    database.run("add", text="old")
    assert database.is_current()
    aside = path.with_name("aside.db")
    path.rename(aside)
    path.with_name("notes.db-wal").rename(aside.with_name("aside.db-wal"))
    assert not database.is_current()
    other = open_database(path, ROOM)
    other.run("add", text="new")
    assert not database.is_current()
    database.reopen()  # which must not touch the other's write-ahead log
    assert database.is_current()
    database.run("add", text="newer")
    assert texts(other) == texts(database) == ["new", "newer"]
    assert texts(open_database(path, ROOM)) == ["new", "newer"]
    database.close()
    database.close()


def test_who_must_not_make_it_makes_nothing(room: Path, path: Path) -> None:
    path.parent.mkdir()
    with pytest.raises(FileAccess, match="unable to open database file"):
        open_database(path, ROOM, create=False)
    assert list(path.parent.iterdir()) == []
    open_database(path, ROOM).run("add", text="one")
    shared = open_database(path, ROOM, create=False)
    assert texts(shared) == ["one"]
    path.unlink()
    with pytest.raises(FileAccess):
        shared.reopen()
    assert not path.exists()
    shared.close()
    shared.close()


def test_who_closes_the_last_one_puts_the_log_away(room: Path, path: Path) -> None:
    open_database(path, ROOM).close()
    first = open_database(path, ROOM, create=False)
    first.run("add", text="one")
    assert path.with_name("notes.db-wal").exists()
    first.close()
    assert [file.name for file in path.parent.iterdir()] == ["notes.db"]
    dropped = open_database(path, ROOM, create=False)
    dropped.run("add", text="two")
    del dropped  # who drops it does not ask whose log it is by now
    assert path.with_name("notes.db-wal").stat().st_size > 0
    assert texts(open_database(path, ROOM)) == ["one", "two"]


@pytest.mark.parametrize(
    "statement", ["ALTER TABLE note RENAME COLUMN text TO texu", "ALTER TABLE note RENAME TO nota", "DROP TABLE note"]
)
def test_tables_that_are_not_the_rooms_are_damage(room: Path, path: Path, statement: str) -> None:
    database = open_database(path, ROOM)
    assert database.is_as_made()
    database._connection.execute(statement)
    assert not database.is_as_made()
    for query in ("everything", "add"):
        with pytest.raises(FileDamaged) as caught:
            database.run(query, **({"text": "x"} if query == "add" else {}))
        assert caught.value.data == {"path": str(path)}
    assert database.integrity(full=True) == "ok"


def test_a_version_that_was_never_written_is_damage(room: Path, path: Path) -> None:
    database = open_database(path, ROOM)
    database._connection.execute("PRAGMA user_version=0")
    database.close()
    with pytest.raises(FileDamaged, match="table note already exists"):
        open_database(path, ROOM)


def test_a_transaction_is_whole_or_nothing(room: Path, path: Path) -> None:
    database, other = open_database(path, ROOM), open_database(path, ROOM)

    def work(error: type[BaseException]) -> None:
        with database.transaction():
            database.run("add", text="half")
            assert texts(other) == []
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            work(error)
        assert texts(database) == []
    with database.transaction():
        database.run("add", text="whole")
    assert texts(other) == ["whole"]


def test_a_wrong_statement_is_explained_and_rolled_back(room: Path, path: Path) -> None:
    database = open_database(path, ROOM)

    def work() -> None:
        with database.transaction():
            database.run("add", text="half")
            database.run("wrong")

    with pytest.raises(Failure, match="no such table: nowhere"):
        work()
    assert texts(database) == []
    with pytest.raises(KeyError):
        database.run("never_written")


def test_who_waits_too_long_is_told(room: Path, path: Path) -> None:
    holder, waiting = open_database(path, ROOM), open_database(path, ROOM)
    waiting._connection.set_busy_timeout(50)
    with holder.transaction():
        with pytest.raises(Busy) as caught, waiting.transaction():
            pass
        assert caught.value.data == {"path": str(path)}
    assert waiting.run("add", text="now") == [{"id": 1}]


def test_many_processes_make_and_fill_one_file(room: Path, path: Path) -> None:
    """Eight processes create, migrate and write at the same moment; nothing is lost, nobody is refused."""
    writer = (
        "import sys; from pathlib import Path; from ultralab.system.database import open_database\n"
        f"sys.path.insert(0, {str(room.parent)!r}); print('ready', flush=True); sys.stdin.readline()\n"
        f"database = open_database(Path({str(path)!r}), {ROOM!r})\n"
        "for number in range(10):\n"
        "    with database.transaction(): database.run('add', text=f'{sys.argv[1]} {number}')\n"
    )
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", writer, str(name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in range(8)
    ]
    for one in crowd:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    endings = []
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in crowd:
        _out, problems = one.communicate()
        endings.append((one.returncode, problems))
    assert endings == [(0, "")] * 8
    written = texts(open_database(path, ROOM))
    assert sorted(map(str, written)) == sorted(f"{name} {number}" for name in range(8) for number in range(10))
