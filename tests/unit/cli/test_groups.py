"""A group without a command, and a command that no group has."""

from __future__ import annotations

import json
import sys

import pytest
from tests.acceptance.command import ultralab

from ultralab.cli.output import lossless


@pytest.mark.parametrize("group", [(), ("jobs",), ("models",), ("jobs", "schedules"), ("--lang", "en", "config")])
def test_a_group_alone_prints_its_help(group: tuple[str, ...]) -> None:
    done = ultralab(*group)
    assert (done.status, done.out, done.err) == (2, "", ultralab(*group, "--help").out)


def test_a_group_alone_as_json() -> None:
    done = ultralab("--json", "jobs")
    assert (done.status, done.out, done.error["kind"]) == (2, "", "UsageError")
    assert (done.error["message"], done.error["hint"]) == ("Missing command.", "See: ultralab jobs --help")


@pytest.mark.parametrize(
    ("words", "given", "near"),
    [
        (("modles", "list"), "modles", ["models"]),
        (("jobs", "shwo", "1"), "shwo", ["show"]),
        (("jobs", "schedules", "pase"), "pase", ["pause"]),
        (("models", "lsit"), "lsit", ["list"]),
        (("jobs", "xyzzy"), "xyzzy", []),
    ],
)
def test_a_misspelt_command_gets_the_nearest_ones(words: tuple[str, ...], given: str, near: list[str]) -> None:
    done = ultralab(*words, "--json")
    assert (done.status, done.out, done.error["kind"]) == (2, "", "UnknownChoice")
    assert (done.error["message"], done.error["data"]["near"]) == (f"Unknown command: {given!r}.", near)


def test_an_option_that_no_group_has_is_no_command() -> None:
    done = ultralab("jobs", "--shwo")
    assert (done.status, done.err.startswith("Error: No such option '--shwo'.")) == (2, True)


def test_json_loses_no_byte() -> None:
    words = [
        "实验",
        b"a\xff\xfe".decode(errors="surrogateescape"),
        "\\udcff",
        "\x00\x7f\u2028",
        "🧪",
        chr(sys.maxunicode),
    ]
    text = lossless(json.dumps(words, ensure_ascii=False))
    assert json.loads(text.encode()) == words
    assert ("实验" in text, '"a\\udcff\\udcfe"' in text) == (True, True)
