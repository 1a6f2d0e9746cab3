"""Moving between volumes: nothing is lost at any moment, and what was begun is gone on from."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from tests.unit.models.store.killing import killed_at
from tests.unit.models.store.shelf import adopt, listing, put, sha, unplug, with_volumes

from ultralab.kernel.errors import FileDamaged, NotFound, Unsupported
from ultralab.models.library import Library, model_path, records, verify
from ultralab.models.store.moving import move
from ultralab.models.store.places import locate
from ultralab.models.store.scanning import scan
from ultralab.models.store.volumes import MARKER, Volume
from ultralab.models.store.whole import verify_all

A, B = bytes(range(256)) * 4000, b"b" * 20


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return with_volumes(tmp_path, "ssd", "nas")


def on(library: Library) -> dict[str, list[str]]:
    """The bytes (no links) on each volume."""
    return {
        volume.name: [path.name for path in sorted(volume.blobs.glob("*")) if not path.is_symlink()]
        for volume in (library.store, *library.volumes)
    }


def test_there_and_back(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A, "b.json": B})
    both = sorted([sha(A), sha(B)])
    for volume, expected in (
        ("ssd", {"home": [], "ssd": both, "nas": []}),
        ("ssd", {"home": [], "ssd": both, "nas": []}),
        ("nas", {"home": [], "ssd": [], "nas": both}),
        ("home", {"home": both, "ssd": [], "nas": []}),
    ):
        already = on(library) == expected
        assert move(library, record, volume) == (0 if already else len(A) + len(B))
        assert on(library) == expected
        assert (model_path(library, record) / "a.gguf").read_bytes() == A
        verify(library, record)
        assert scan(library).clean
    assert not any(listing(volume.partial) for volume in (library.store, *library.volumes))
    assert (library.blobs / sha(A)).stat().st_mode & 0o777 == 0o444


def test_shared_bytes_move_once_and_both_models_have_them(library: Library) -> None:
    one, two = put(library, "one", {"a.gguf": A}), put(library, "two", {"x.gguf": A, "y.gguf": A, "b": B})
    assert move(library, two, "ssd") == len(A) + len(B)
    assert move(library, one, "ssd") == 0
    assert {verdict.state for verdict in verify_all(library, [one, two])} == {"whole"}


def test_an_adopted_file_is_copied_in(library: Library, tmp_path: Path) -> None:
    record = adopt(library, "m", tmp_path / "tool", {"a.gguf": A})
    (path,) = (tmp_path / "tool").iterdir()
    for volume in ("ssd", "home"):
        assert move(library, record, volume) == len(A)
        assert (path.read_bytes(), model_path(library, record).read_bytes()) == (A, A)
    assert on(library) == {"home": [sha(A)], "ssd": [], "nas": []}


def test_what_was_begun_is_gone_on_from(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A})
    copy = library.volumes[0].partial / f"{sha(A)}.move"
    for begun in (A[:500_000], A, b"wrong" * 100, A + b"more", b""):
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(begun)
        assert move(library, record, "ssd") == len(A)
        assert (model_path(library, record).read_bytes(), copy.exists()) == (A, False)
        move(library, record, "home")


def test_damaged_bytes_are_not_moved(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A})
    blob = library.blobs / sha(A)
    blob.chmod(0o644)
    blob.write_bytes(A[:-1] + b"?")
    with pytest.raises(FileDamaged, match="is damaged") as caught:
        move(library, record, "ssd")
    assert "verify" in caught.value.hint
    assert (on(library)["home"], listing(library.volumes[0].root)) == ([sha(A)], [MARKER])


def test_where_nothing_can_be_moved(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A})
    with pytest.raises(NotFound, match="no volume usb") as unknown:
        move(library, record, "usb")
    assert unknown.value.hint == "Known: home, ssd, nas."
    ssd = library.volumes[0]
    (ssd.root / MARKER).write_text("{}")
    with pytest.raises(Unsupported, match="another's"):
        move(library, record, "ssd")
    unplug(ssd)
    with pytest.raises(NotFound, match="not plugged in"):
        move(library, record, "ssd")
    assert not ssd.root.exists()


def test_from_a_volume_that_is_not_plugged_in(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A}, library.volumes[0])
    away = unplug(library.volumes[0])
    with pytest.raises(NotFound, match="on the volume ssd, which is not plugged in"):
        move(library, record, "home")
    away.rename(library.volumes[0].root)
    assert move(library, record, "home") == len(A)


def test_a_disk_that_is_plugged_in_under_another_path(library: Library, tmp_path: Path) -> None:
    record = put(library, "m", {"a.gguf": A}, library.volumes[0])
    library.volumes[0].root.rename(tmp_path / "SSD 1")
    moved = Library(library.home, (Volume("ssd", tmp_path / "SSD 1"),))
    assert locate(moved, sha(A), len(A)).state == "elsewhere"
    assert model_path(moved, record).read_bytes() == A
    assert scan(moved).clean


def test_two_processes_move_one_model_at_once(library: Library) -> None:
    record = put(library, "m", {"a.gguf": A * 20, "b.json": B})
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ultralab.models.library import Library, records\n"
        "from ultralab.models.store.moving import move\n"
        "from ultralab.models.store.volumes import Volume\n"
        "library = Library(Path(sys.argv[1]), (Volume('ssd', Path(sys.argv[2])),))\n"
        "print(move(library, records(library)[0], 'ssd'))"
    )
    argv = [sys.executable, "-c", script, str(library.home), str(library.volumes[0].root)]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _again in range(2)]
    moved = [int(child.communicate(timeout=60)[0]) for child in running]
    assert [child.returncode for child in running] == [0, 0]
    assert max(moved) == record.size
    assert on(library) == {"home": [], "ssd": sorted([sha(A * 20), sha(B)]), "nas": []}
    verify(library, record)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("ssd", "nas"),
        pytest.param("home", "ssd", marks=pytest.mark.slow),
        pytest.param("ssd", "home", marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_step_of_moving(tmp_path: Path, source: str, target: str) -> None:
    for step in count():
        (tmp_path / str(step)).mkdir()
        library = with_volumes(tmp_path / str(step), "ssd", "nas")
        volumes = {volume.name: volume for volume in (library.store, *library.volumes)}
        record = put(library, "m", {"a.gguf": A, "b.json": B}, volumes[source])
        killed = killed_at(step, partial(move, library, record, target))
        assert records(library) == (record,)
        assert {verdict.state for verdict in verify_all(library, [record])} == {"whole"}, step
        move(library, record, target)
        nothing: dict[str, list[str]] = {name: [] for name in volumes}
        assert on(library) == {**nothing, target: sorted([sha(A), sha(B)])}, step
        assert not any(listing(volume.partial) for volume in volumes.values())
        verify(library, record)
        if not killed:
            assert step > 6
            return


_FULL = """
import subprocess, sys
from pathlib import Path
place = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from tests.unit.models.store.shelf import listing, put, with_volumes
from ultralab.kernel.errors import DiskFull
from ultralab.kernel.progress import Silent
from ultralab.models.store.moving import move
library = with_volumes(place, "ssd")
(ssd,) = library.volumes
away = ssd.root.rename(place / "away")
ssd.root.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", ssd.root], check=True)
(ssd.root / ssd.marker.name).write_bytes((away / ssd.marker.name).read_bytes())
record = put(library, "m", {"a.gguf": bytes(1_500_000)})

class Meanwhile(Silent):
    def step(self, *told):  # there was room when it was looked at
        (ssd.root / "somebody's").write_bytes(b"x" * 1_000_000)
        return super().step(*told)

try:
    move(library, record, "ssd", Meanwhile())
except DiskFull as error:
    print(error.kind)
print(listing(ssd.partial), [path.is_symlink() for path in library.blobs.iterdir()])
(ssd.root / "somebody's").unlink()
print(move(library, record, "ssd"))
"""


def test_a_disk_that_fills_while_something_is_moved_there_keeps_nothing_of_it(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[4]
    command = ["unshare", "--mount", sys.executable, "-c", _FULL, str(tmp_path), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("DiskFull\n[] [False]\n1500000\n", "")
