"""Pages on the disk, their metadata, their templates and the check that `doctor` runs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ultralab.kernel.checks import Finding
from ultralab.kernel.errors import FileAccess, InvalidSpec
from ultralab.kernel.language import translation
from ultralab.pages import Metadata, cell, inline, metadata_part, prose, render, write_page
from ultralab.pages.checks import doctor_checks
from ultralab.pages.metadata import date_in

NEW = "# T\n\n<!-- ultralab:begin metadata -->\n<!-- ultralab:end metadata -->\n\nmine\n"
FIRST = Metadata("T", "2026-11-23", "Ada", "1.0", (("Model", "a\n b"),))
LATER = Metadata("T", "2026-12-01", "Ada", "1.0", (("Model", "a\n b"),))


def page(date: str, rows: str, author: str = "Ada") -> str:
    return (
        f"# T\n\n<!-- ultralab:begin metadata -->\n## Metadata\n\n- **Date**: {date}\n- **Author**: {author}\n"
        f"- **Version**: 1.0\n- **Model**: a b\n<!-- ultralab:end metadata -->\n\nmine\n"
        f"\n<!-- ultralab:begin rows -->\n{rows}\n<!-- ultralab:end rows -->\n"
    )


def test_a_page_is_made_then_only_its_parts_change_and_the_date_moves_with_them(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page.md"
    assert write_page(path, NEW, FIRST, "en", {"rows": "1"}) is True
    assert path.read_text() == page("2026-11-23", "1")
    before = path.stat()
    assert write_page(path, NEW, LATER, "en", {"rows": "1"}) is False
    assert path.stat() == before
    assert write_page(path, "# Other\n\ntext of a newer template\n", LATER, "en", {"rows": "2"}) is True
    assert path.read_text() == page("2026-12-01", "2")
    assert write_page(path, NEW, Metadata("T", "2027-01-01", "Bob", "1.0", FIRST.extra), "en") is True
    assert path.read_text() == page("2027-01-01", "2", "Bob")
    assert sorted(item.name for item in path.parent.iterdir()) == ["page.md"]


def test_line_ends_byte_order_mark_permissions_and_links_are_kept(tmp_path: Path) -> None:
    real = tmp_path / "real.md"
    real.write_bytes("\ufeff# 题\r\n<!-- ultralab:begin rows -->\r\n<!-- ultralab:end rows -->\r\nend".encode())
    real.chmod(0o600)
    link = tmp_path / "link.md"
    link.symlink_to(real)
    text = "<!-- ultralab:no metadata -->"
    assert write_page(link, text, FIRST, "en", {"rows": "1\n2"}) is True
    start = "\ufeff# 题\r\n<!-- ultralab:begin rows -->\r\n1\r\n2\r\n<!-- ultralab:end rows -->\r\nend\r\n\r\n"
    assert real.read_bytes().decode().startswith(start)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_broken_document_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- ultralab:begin rows -->\n")
    with pytest.raises(InvalidSpec) as caught:
        write_page(path, NEW, FIRST, "en")
    assert caught.value.message == f"{path}:1: rows: this part is begun and never ended"
    assert path.read_text() == "<!-- ultralab:begin rows -->\n"
    path.write_bytes(b"ab\xff")
    with pytest.raises(FileAccess) as refused:
        write_page(path, NEW, FIRST, "en")
    assert refused.value.message == f"{path} is not UTF-8 text (byte 2)."
    with pytest.raises(FileAccess):
        write_page(tmp_path, NEW, FIRST, "en")


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_metadata_speaks_the_documents_language(language: str) -> None:
    say = translation(language).gettext
    part = metadata_part(FIRST, language)
    assert part == (
        f"## {say('Metadata')}\n\n- **{say('Date')}**: 2026-11-23\n- **{say('Author')}**: Ada\n"
        f"- **{say('Version')}**: 1.0\n- **Model**: a b"
    )
    assert date_in(part) == "2026-11-23"
    assert date_in("nothing here") is None


def test_values_in_tables_and_paragraphs() -> None:
    assert cell("a|b\nc\t\r\n d") == r"a\|b c d"
    assert cell(r"a\|b") == r"a\\\|b"
    assert cell("<script>") == "&lt;script>"
    assert cell(12) == "12"
    assert inline(" a \n b ") == "a b"
    assert [prose(text) for text in ("```py\nx", "# h", "1. one", "plain", "- <b>", "~~~")] == [
        r"\```py x", r"\# h", r"1\. one", "plain", r"\- &lt;b>", r"\~~~",
    ]  # fmt: skip


def test_a_template_without_a_value_is_an_error() -> None:
    import jinja2

    with pytest.raises(jinja2.UndefinedError):
        render("ultralab.setup", "templates/en/README.md", "en")


def test_doctor_names_the_document_whose_fences_are_broken(tmp_path: Path) -> None:
    (check,) = doctor_checks(tmp_path)
    assert check.run() == Finding("pass", "0 documents")
    (tmp_path / "good.md").write_text("# T\n")
    assert check.run() == Finding("pass", "1 document")
    for folder in ("store", ".git", "sub"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bad.md").write_text("<!-- ultralab:end a -->\n")
    found = check.run()
    assert (found.verdict, found.detail) == (
        "fail",
        f"{tmp_path}/sub/bad.md:1: a: this fence ends a part that was not begun",
    )
