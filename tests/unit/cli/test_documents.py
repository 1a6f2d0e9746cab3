"""The guides name commands and options that exist, in both languages the same ones."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ultralab.cli.main import build

ROOT = Path(__file__).resolve().parents[3]
GUIDES = ("docs/engines", "docs/models", "docs/other_tools", "docs/jobs", "README")
_CODE = re.compile(r"```sh\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def _code(page: Path) -> list[str]:
    """What stands in code on a page, by line, without comments and without what is handed to another program."""
    found = [block or inline for block, inline in _CODE.findall(page.read_text())]
    lines = [line.split(" -- ")[0].split("#")[0].strip() for text in found for line in text.splitlines()]
    return [line for line in lines if line]


def _resolved(words: list[str]) -> tuple[str, click.Command]:
    """The command that words lead to."""
    command: click.Command = build()
    path = "ultralab"
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        found = command.get_command(click.Context(command), word)
        assert found is not None, f"{path} {word}"
        command, path = found, f"{path} {word}"
    return path, command


@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("language", ["", ".zh-CN"])
def test_commands_and_their_options_exist(guide: str, language: str) -> None:
    lines = [line for line in _code(ROOT / f"{guide}{language}.md") if line.startswith("ultralab ")]
    for line in lines:
        words = re.split(r"[|…]", line.removeprefix("ultralab "))[0].split()
        path, command = _resolved([word for word in words if re.fullmatch(r"-*[a-z-]+", word)][:3])
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert set(_OPTION.findall(line)) <= {*known, "--help"}, path


@pytest.mark.parametrize("language", ["", ".zh-CN"])
def test_every_option_of_the_guide_belongs_to_a_command_of_models(language: str) -> None:
    _path, models = _resolved(["models"])
    assert isinstance(models, click.Group)
    context = click.Context(models)
    commands = [models.get_command(context, name) for name in models.list_commands(context)]
    known = {name for command in commands if command is not None for option in command.params for name in option.opts}
    named = {option for line in _code(ROOT / f"docs/models{language}.md") for option in _OPTION.findall(line)}
    assert named - known == set()


@pytest.mark.parametrize("guide", ["docs/models", "docs/engines", "README"])
def test_both_languages_name_the_same_code(guide: str) -> None:
    english, chinese = (
        {part for line in _code(ROOT / f"{guide}{language}.md") for part in (_OPTION.findall(line) or [line])}
        for language in ("", ".zh-CN")
    )
    assert {part for part in english if part.isascii()} == {part for part in chinese if part.isascii()}
