"""What can be typed in a conversation besides messages."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.text import wrap

if TYPE_CHECKING:
    from ultralab.cli.talk.conversation import Conversation


def known() -> dict[str, str]:
    """Each command and what it does (translated)."""
    return {
        "/help": _("this list"),
        "/stats": _("tokens, speed and memory of the last answer"),
        "/save FILE": _("write the conversation: Markdown, or JSON where the name ends so"),
        "/system TEXT": _("set the system prompt; without a text, remove it"),
        "/undo": _("forget the last message and its answer"),
        "/clear": _("forget the conversation; the system prompt stays"),
        "/quit": _("end"),
    }


def run(line: str, talk: Conversation) -> Literal["end", "go on"]:
    """Carry a command out; what is wrong with it is said, and the conversation goes on."""
    word, _space, rest = line.strip().partition(" ")
    if word in ("/quit", "/exit", "/bye"):
        return "end"
    told = _told(word, rest.strip(), talk)
    width = shutil.get_terminal_size().columns
    for one in told.splitlines():
        print("\n".join(wrap(one, width)) if sys.stderr.isatty() else one, file=sys.stderr)
    return "go on"


def _told(word: str, rest: str, talk: Conversation) -> str:
    does: dict[str, Callable[[str, Conversation], str]] = {
        "/help": lambda _rest, _talk: "\n".join(f"{name:<14} {meaning}" for name, meaning in known().items()),
        "/stats": lambda _rest, talk: talk.stats.line() if talk.stats else _("Nothing was said yet."),
        "/save": _saved,
        "/system": _system,
        "/undo": lambda _rest, talk: _("The last message is forgotten.") if talk.undo() else _("Nothing was said yet."),
        "/clear": _cleared,
    }
    if word not in does:
        return _("{word} is not known; /help lists what is.").format(word=word)
    return does[word](rest, talk)


def _system(text: str, talk: Conversation) -> str:
    talk.system = text
    return _("The system prompt is set.") if text else _("The system prompt is removed.")


def _cleared(_rest: str, talk: Conversation) -> str:
    talk.messages.clear()
    return _("The conversation is forgotten.")


def _saved(name: str, talk: Conversation) -> str:
    from ultralab.system import files

    try:
        words = shlex.split(name)
    except ValueError:
        words = [name]
    if len(words) != 1:
        return _("Say where: /save conversation.md")
    path = Path(words[0]).expanduser()
    content = as_json(talk) if path.suffix.casefold() == ".json" else as_markdown(talk)
    try:
        if path.exists():
            return _("{path} exists already; it is not overwritten.").format(path=path)
        files.write(path, content)
    except UltralabError as error:
        return "\n".join([error.message, *([f"  → {error.hint}"] if error.hint else [])])
    return _("Written: {path}").format(path=path)


def as_json(talk: Conversation) -> str:
    """The conversation in OpenAI's form."""
    before = [{"role": "system", "content": talk.system}] if talk.system else []
    data = {"model": talk.model, "messages": [*before, *talk.messages]}
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def as_markdown(talk: Conversation) -> str:
    """The conversation as a document."""
    names = {"user": _("You"), "assistant": talk.model}
    parts = [f"# {talk.model}\n"]
    if talk.system:
        parts.append("> " + talk.system.replace("\n", "\n> ") + "\n")
    parts += [f"**{names[one['role']]}**\n\n{one['content'].strip()}\n" for one in talk.messages]
    return "\n".join(parts)
