"""Write ``docs/reference`` from the code: commands, settings, environment variables, extension points, jobs' states.

``--check`` writes nothing: it prints what differs and exits 1.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ultralab.cli.main import cli
from ultralab.engines import engine
from ultralab.engines.options import OPTIONS
from ultralab.jobs.states import EVENTS, GUARDS, STATES, TRANSITIONS
from ultralab.kernel.plugins import GROUPS
from ultralab.settings import describe
from ultralab.system.environ import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "docs" / "reference"
ENGINES: Final = ("llamacpp", "mlx", "torch", "ollama", "external", "fake")
NOTE: Final = "<!-- Written by `make docs` from the code: do not edit. -->"


def pages() -> dict[str, str]:
    """Every page of the reference by file name."""
    return {
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "environment.md": environment_page(),
        "extensions.md": extensions_page(),
        "jobs.md": jobs_page(),
        "engines.md": engines_page(),
    }


def page(title: str, introduction: str, body: Iterable[str]) -> str:
    """A page: title, note, introduction, and the body's blocks with empty lines between."""
    return "\n\n".join([f"# {title}", NOTE, introduction, *body]) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; cells are escaped."""
    lines = [head, tuple("---" for _cell in head), *rows]
    return "\n".join("| " + " | ".join(cell(part) for part in line) + " |" for line in lines)


def cell(text: str) -> str:
    """A text that is safe inside a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def commands_page() -> str:
    """Every command that is not hidden, with its help, its options and its examples."""
    root = click.Context(cli, info_name="ultralab")
    shared = table(("option", "meaning"), option_rows(root, shared=True))
    body = [block for ctx in walk(root) for block in command_blocks(ctx)]
    introduction = "Every command takes these options, before or behind the command's name:"
    return page("Commands", f"{introduction}\n\n{shared}", body)


def option_rows(ctx: click.Context, *, shared: bool) -> list[tuple[str, str]]:
    """The options as help shows them: those that every command has, or the command's own.

    An argument without a text of its own is left to the line of usage.
    """
    records = [
        parameter.get_help_record(ctx)
        for parameter in ctx.command.get_params(ctx)
        if (parameter.name or "").startswith("global_") == shared and "--help" not in parameter.opts
    ]
    return [(f"`{name}`", meaning) for name, meaning in filter(None, records) if meaning]


def walk(ctx: click.Context) -> Iterator[click.Context]:
    """A command and all below it, each in its own context, in the order that help shows them."""
    yield ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            if command is not None and not command.hidden:
                yield from walk(click.Context(command, info_name=name, parent=ctx))


def command_blocks(ctx: click.Context) -> Iterator[str]:
    """The section of one command."""
    command = ctx.command
    yield f"## `{ctx.command_path}`"
    if command.help:
        yield prose(command.help)
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    yield f"```text\n{usage}\n```"
    if rows := option_rows(ctx, shared=False):
        yield table(("option", "meaning"), rows)
    if examples := getattr(command, "examples", ()):
        yield "```sh\n{}\n```".format("\n".join(examples))


def prose(text: str) -> str:
    r"""A command's help as Markdown: a paragraph marked with ``\b`` keeps its lines."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    kept = (f"```text\n{part.removeprefix(chr(8)).strip(chr(10))}\n```" for part in paragraphs)
    return "\n\n".join(
        block if part.startswith("\b") else " ".join(part.split()) for part, block in zip(paragraphs, kept, strict=True)
    )


def settings_page() -> str:
    """Every setting of ``lab.toml``."""
    rows = [
        (f"`{field.key}`", field.type, f"`{json.dumps(field.default, ensure_ascii=False)}`", field.description)
        for field in describe()
    ]
    introduction = (
        "What `lab.toml` in the lab's folder may say. A name with a dot stands in a table: "
        "`memory.reserve` is `reserve` under `[memory]`."
    )
    return page("Settings", introduction, [table(("setting", "takes", "default", "meaning"), rows)])


def environment_page() -> str:
    """Every environment variable that ultralab reads."""
    rows = [(f"`{name}`", meaning) for name, meaning in VARIABLES.items()]
    introduction = "The environment variables that ultralab reads. An option on the command line wins over them."
    return page("Environment variables", introduction, [table(("variable", "meaning"), rows)])


def extensions_page() -> str:
    """Every entry point group, with its seam and what ships with ultralab."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    body = [
        block
        for group, seam in GROUPS.items()
        for block in group_blocks(group, seam, project["entry-points"].get(group, {}))
    ]
    introduction = (
        "A package adds to ultralab by declaring a Python entry point in one of these groups; what ships with "
        "ultralab does the same. `tests/plugin_example` in the source tree is a small package that uses all of them."
    )
    return page("Extension points", introduction, body)


def group_blocks(group: str, seam: str, builtin: dict[str, str]) -> Iterator[str]:
    """The section of one group."""
    module, _dot, name = seam.rpartition(".")
    described = (inspect.getdoc(getattr(importlib.import_module(module), name)) or "").replace("``", "`")
    yield f"## `{group}`"
    yield f"Described by `{seam}`:"
    yield "\n".join(f"> {line}".rstrip() for line in described.splitlines())
    yield table(("built in", "object"), [(f"`{key}`", f"`{target}`") for key, target in sorted(builtin.items())])


def jobs_page() -> str:
    """The states of a job and what leads from one to another."""
    states = table(("state", "a job in it"), ((f"`{state}`", meaning) for state, meaning in STATES.items()))
    events = table(("event", "what happens"), ((f"`{event}`", meaning) for event, meaning in EVENTS.items()))
    steps = table(
        ("in", "on", "if", "becomes"),
        ((f"`{row.state}`", f"`{row.event}`", GUARDS[row.guard], f"`{row.next}`") for row in TRANSITIONS),
    )
    introduction = (
        "The life of a job, from the one table that the code follows (`ultralab.jobs.states`). What is not in it "
        "cannot happen: a command that asks for it is refused. Of two rows that fit, the first one counts."
    )
    body = ["## States", states, "## Events", events, "## Transitions", steps]
    return page("States of a job", introduction, body)


def engines_page() -> str:
    """Every engine of ours: what it loads and can do, and each option that it takes, with what it makes of it."""
    body: list[str] = []
    for name in ENGINES:
        one = engine(name)
        loads = ", ".join(sorted(one.formats)) or "what its server has"
        body.append(f"## {name}")
        body.append(f"{one.title}. Loads: {loads}. Can: {', '.join(sorted(one.capabilities))}.")
        rows = [
            (f"`{key}`", OPTIONS[key].meaning, ", ".join(map(str, takes.among)) or OPTIONS[key].takes, takes.note)
            for key, takes in one.options.items()
        ]
        body.append(table(("option", "meaning", "takes", "here"), rows))
    introduction = (
        "An option that an engine does not take is refused before anything is started. `ultralab engines list --options` "
        "shows this table for the engines that are installed, those of other packages included."
    )
    return page("Engines and their options", introduction, body)


def differences(wanted: dict[str, str]) -> list[str]:
    """The lines of a diff from what is written to what the code says; empty where they agree."""
    lines: list[str] = []
    for name, text in wanted.items():
        path = FOLDER / name
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        where = str(path.relative_to(ROOT))
        lines += difflib.unified_diff(written.splitlines(), text.splitlines(), where, f"{where} (code)", lineterm="")
    return lines


def main(only_check: bool) -> int:
    """Write the pages, or compare them; the exit status."""
    wanted = pages()
    if only_check:
        lines = differences(wanted)
        print("\n".join([*lines, "Run `make docs`."])) if lines else None
        return 1 if lines else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print((FOLDER / name).relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
