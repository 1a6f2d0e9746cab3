"""Fenced parts: the owner's text is kept byte for byte, and broken fences are named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.kernel.errors import InvalidSpec
from ultralab.pages import fill, parts_of

NAMES = st.sampled_from(["metadata", "catalog", "guide", "x.1", "a_b-c"])
# What an owner may write between parts: anything but an open code block and a fence of ours on its own line.
OWNER_LINES = st.lists(
    st.sampled_from(
        [
            "", "# Title", "text | with | bars", "  indented", "\ttab", "中文 🙂", "<!-- a comment -->", "\u2028odd\x0cbreak",
            "```python\n<!-- ultralab:begin guide -->\n```", "~~~~\n```\n<!-- ultralab:end x.1 -->\n~~~~",
            "- item\n\n  ```\n  <!-- ultralab:no guide -->\n  ```", "see `<!-- ultralab:begin guide -->` here",
            "    <!-- ultralab:begin guide -->", "> ```\n> <!-- ultralab:begin guide -->\nout of the quotation",
            "1. ```sh\n   x\n   ```", "``` not ` an opening", "trailing  ",
        ]
    ),
    max_size=6,
)  # fmt: skip
CONTENT = st.sampled_from(
    ["", "one line", "a\n\nb", "| t |\n|---|\n| x |", "```sh\ncode\n```", "中文\n🙂", "\n\npadded\n"]
)


@st.composite
def documents(draw: Any) -> tuple[list[str], list[str], str]:
    """Owner's pieces, the names of the parts between them, and the line end."""
    names = draw(st.lists(NAMES, unique=True, max_size=4))
    eol = draw(st.sampled_from(["\n", "\r\n"]))
    pieces = []
    for _count in range(len(names) + 1):
        lines = draw(OWNER_LINES)
        pieces.append("".join(line.replace("\n", eol) + eol for line in lines))
    if draw(st.booleans()):
        pieces[0] = "\ufeff" + pieces[0]
    if draw(st.booleans()):
        pieces[-1] = pieces[-1].removesuffix(eol)
    return pieces, names, eol


def written(pieces: list[str], names: list[str], eol: str, contents: dict[str, str]) -> str:
    text = pieces[0]
    for name, piece in zip(names, pieces[1:], strict=True):
        body = (
            "".join(line + eol for line in contents[name].strip("\n").split("\n")) if contents[name].strip("\n") else ""
        )
        text += f"<!-- ultralab:begin {name} -->{eol}{body}<!-- ultralab:end {name} -->{eol}{piece}"
    return text


@given(documents(), st.data())
def test_only_the_inside_of_parts_changes(made: tuple[list[str], list[str], str], data: Any) -> None:
    pieces, names, eol = made
    old = {name: data.draw(CONTENT) for name in names}
    new = {name: data.draw(CONTENT) for name in names}
    filled = fill(written(pieces, names, eol, old), new)
    assert filled == written(pieces, names, eol, new)
    assert parts_of(filled) == {name: text.strip("\n") for name, text in new.items()}


@given(documents(), st.dictionaries(NAMES, CONTENT, max_size=5))
def test_filling_twice_is_filling_once_and_missing_parts_follow_the_owners_text(
    made: tuple[list[str], list[str], str], new: dict[str, str]
) -> None:
    pieces, names, eol = made
    document = written(pieces, names, eol, dict.fromkeys(names, "old"))
    once = fill(document, new)
    assert fill(once, new) == once
    kept = written(pieces, names, eol, {name: new.get(name, "old") for name in names})
    assert once.startswith(kept)
    assert {name: parts_of(once)[name] for name in new} == {name: text.strip("\n") for name, text in new.items()}
    assert document.endswith("\n") == once.endswith("\n") or not document.strip("\ufeff")


@given(st.text(alphabet="`~>- \n<!ultrab:egind1x.\r\ufeff", max_size=60), st.dictionaries(NAMES, CONTENT, max_size=2))
def test_any_text_is_filled_the_same_twice_or_refused(document: str, new: dict[str, str]) -> None:
    try:
        once = fill(document, new)
    except InvalidSpec:
        return
    assert fill(once, new) == once
    assert once.startswith(document) or set(parts_of(document)) & set(new)


def test_the_exact_shape_of_an_appended_part() -> None:
    assert fill("", {"a": "x"}) == "<!-- ultralab:begin a -->\nx\n<!-- ultralab:end a -->\n"
    assert fill("# T", {"a": ""}) == "# T\n\n<!-- ultralab:begin a -->\n<!-- ultralab:end a -->"
    assert fill("# T\r\n", {"a": "x\ny"}) == (
        "# T\r\n\r\n<!-- ultralab:begin a -->\r\nx\r\ny\r\n<!-- ultralab:end a -->\r\n"
    )
    assert fill("# T\n\n", {"a": "x", "b": "y"}) == (
        "# T\n\n<!-- ultralab:begin a -->\nx\n<!-- ultralab:end a -->\n"
        "\n<!-- ultralab:begin b -->\ny\n<!-- ultralab:end b -->\n"
    )


def test_a_refused_part_is_neither_added_nor_changed() -> None:
    gone = "# T\n<!-- ultralab:no a -->\n"
    assert fill(gone, {"a": "x"}) == gone
    frozen = "<!-- ultralab:begin a -->\nmine\n<!-- ultralab:end a -->\n<!-- ultralab:no a -->"
    assert fill(frozen, {"a": "x"}) == frozen


def test_each_part_keeps_its_own_line_ends() -> None:
    mixed = "<!-- ultralab:begin a -->\r\n<!-- ultralab:end a -->\n<!-- ultralab:begin b -->\n<!-- ultralab:end b -->"
    assert fill(mixed, {"a": "1", "b": "2"}) == (
        "<!-- ultralab:begin a -->\r\n1\r\n<!-- ultralab:end a -->\n<!-- ultralab:begin b -->\n2\n<!-- ultralab:end b -->"
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("\n<!-- ultralab:begin a -->\n", "p.md:2: a: this part is begun and never ended"),
        ("<!-- ultralab:end a -->\n", "p.md:1: a: this fence ends a part that was not begun"),
        (
            "<!-- ultralab:begin a -->\n<!-- ultralab:end b -->\n",
            "p.md:2: b: this fence ends a part that was not begun",
        ),
        (
            "<!-- ultralab:begin a -->\n<!-- ultralab:begin b -->\n",
            "p.md:2: b: this part begins inside the part 'a' of line 1",
        ),
        (
            "<!-- ultralab:begin a -->\n<!-- ultralab:end a -->\n<!-- ultralab:begin a -->\n<!-- ultralab:end a -->",
            "p.md:3: a: this part was already begun in line 1",
        ),
        ("x\n<!-- ultralab:start a -->", "p.md:2: this fence cannot be read: <!-- ultralab:start a -->"),
        ("<!-- ultralab:begin -->", "p.md:1: this fence cannot be read: <!-- ultralab:begin -->"),
        (
            "<!-- ultralab:begin a -->\n```\n<!-- ultralab:end a -->\n",
            "p.md:1: a: this part is begun and never ended",
        ),
        ("x\n```\ny", "p.md:2: new: this code block is never closed, so nothing can be added after it"),
    ],
)
def test_broken_documents_are_named_by_file_part_and_line(document: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        fill(document, {"new": "x"}, "p.md")
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["```\nopen", "<!-- ultralab:end a -->", "<!-- ultralab:no b -->"])
def test_new_text_that_would_break_the_fences_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        fill("# T\n", {"a": text}, "p.md")
    assert caught.value.message == (
        "p.md: a: the new text of this part holds a fence or a code block that is never closed"
    )
