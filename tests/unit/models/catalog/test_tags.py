"""Tags and descriptions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.models.catalog.test_index import ONE

from ultralab.kernel.errors import FileDamaged, NotFound, RequestError
from ultralab.models.catalog.search import find_text
from ultralab.models.catalog.tags import describe, require_tag, tag
from ultralab.models.library import Library, records
from ultralab.models.records import file_name, write_record


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(tmp_path / "lab")
    write_record(library.metadata, ONE)
    return library


def path_of(library: Library) -> Path:
    return library.metadata / file_name(ONE.name, ONE.variant)


def test_tags_are_given_and_taken(library: Library) -> None:
    assert tag(library, "tiny", ["keep", "代码", "Fast", "fast"]).tags == ("fast", "keep", "代码")
    assert records(library)[0].tags == ("fast", "keep", "代码")
    assert tag(library, "tiny:f32", ["new"], ["KEEP", "never-there"]).tags == ("fast", "new", "代码")
    assert [hit.record.ref for hit in find_text(library, "代码")] == ["tiny:f32"]


def test_what_changes_nothing_writes_nothing(library: Library) -> None:
    tag(library, "tiny", ["fast"])
    before = path_of(library).stat()
    assert tag(library, "tiny", ["FAST "], ["slow"]).tags == ("fast",)
    assert path_of(library).stat().st_ino == before.st_ino


def test_what_the_owner_wrote_into_the_file_stays(library: Library) -> None:
    data = json.loads(path_of(library).read_text())
    path_of(library).write_text(json.dumps({"my own": ["x"], **data, "title": "By hand"}))
    changed = tag(library, "tiny", ["fast"])
    assert (changed.title, changed.tags) == ("By hand", ("fast",))
    assert json.loads(path_of(library).read_text())["my own"] == ["x"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "two words",
        "a,b",
        "x" * 41,
        "a\nb",
        "a\tb",
        "\x1b[31m",
        "\N{RIGHT-TO-LEFT OVERRIDE}x",
        "-x",
        "a\u3000b",
    ],
)
def test_what_cannot_be_a_tag(library: Library, text: str) -> None:
    before = path_of(library).read_bytes()
    with pytest.raises(RequestError, match="cannot be a tag"):
        tag(library, "tiny", ["good", text])
    assert path_of(library).read_bytes() == before


@pytest.mark.parametrize(
    ("text", "word"), [("Ｆａｓｔ", "fast"), ("🚀", "🚀"), ("q4.k_m-x", "q4.k_m-x"), ("x" * 40, "x" * 40)]
)
def test_a_tag(text: str, word: str) -> None:
    assert require_tag(text) == word


def test_not_too_many_tags(library: Library) -> None:
    assert len(tag(library, "tiny", [f"t{number}" for number in range(64)]).tags) == 64
    with pytest.raises(RequestError, match="more than 64"):
        tag(library, "tiny", ["one-more"])


def test_a_description(library: Library) -> None:
    assert describe(library, "tiny", " Small\n and  quick ").description == "Small and quick"
    assert records(library)[0].description == "Small and quick"
    for text in ("x" * 2001, "a\x00b", "\N{RIGHT-TO-LEFT OVERRIDE}"):
        with pytest.raises(RequestError):
            describe(library, "tiny", text)
    assert describe(library, "tiny", "").description == ""


def test_no_such_model_and_a_file_that_was_damaged_meanwhile(library: Library) -> None:
    with pytest.raises(NotFound):
        tag(library, "huge", ["fast"])
    assert len(records(library)) == 1
    path_of(library).write_text("{")
    with pytest.raises((NotFound, FileDamaged)):
        tag(library, "tiny", ["fast"])
    assert path_of(library).read_text() == "{"


def test_many_processes_lose_no_tag(library: Library) -> None:
    code = (
        "import sys; from pathlib import Path; from ultralab.models.library import Library;"
        "from ultralab.models.catalog.tags import tag; tag(Library(Path(sys.argv[1])), 'tiny', [sys.argv[2]])"
    )
    words = [f"t{number}" for number in range(6)]
    running = [subprocess.Popen([sys.executable, "-c", code, str(library.home), word]) for word in words]
    assert [process.wait() for process in running] == [0] * 6
    assert records(library)[0].tags == tuple(words)
