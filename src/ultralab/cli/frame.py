"""What every command shares: the global options, the examples in its help, groups that import on demand."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ultralab.cli.formatting import Context
from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.language import LANGUAGES, _


@dataclass
class Request:
    """The global options of one invocation. Filled by the option callbacks, read by the commands."""

    home: Path | None = None
    lang: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Keep a global option wherever it stood: before the command's name or behind it."""
    request = context.ensure_object(Request)
    if value not in (None, False) and parameter.name is not None:
        setattr(request, parameter.name.removeprefix("global_"), value)
    return value


def global_options() -> list[click.Parameter]:
    """Fresh copies of the options that every command takes."""
    common: dict[str, Any] = {"expose_value": False, "callback": _note}
    return [
        click.Option(
            ["--home", "global_home"],
            type=click.Path(path_type=Path),
            metavar="PATH",
            help=_("The lab's folder ($ULTRALAB_HOME, else ~/ultralab)."),
            **common,
        ),
        click.Option(["--json", "global_json"], is_flag=True, help=_("Print data as JSON."), **common),
        click.Option(
            ["--lang", "global_lang"],
            type=click.Choice(LANGUAGES),
            help=_("Language of messages and documents."),
            is_eager=True,
            **common,
        ),
        click.Option(["--quiet", "-q", "global_quiet"], is_flag=True, help=_("No progress, results only."), **common),
        click.Option(
            ["--verbose", "-v", "global_verbose"],
            is_flag=True,
            help=_("Show Python tracebacks behind errors."),
            **common,
        ),
    ]


class Command(click.Command):
    """A command with the global options behind its own, and examples under its help."""

    context_class = Context

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        self.examples = tuple(examples)
        super().__init__(*arguments, **settings)
        self.params += global_options()

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; from here on SIGTERM and SIGHUP end it as Ctrl-C does."""
        from ultralab.system.process import terminate_as_interrupt

        terminate_as_interrupt()
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would make it a plain failure (status 1)
            from ultralab.cli.outcome import report

            raise SystemExit(report(error, Request(), as_json=False)) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Own options first, the global ones in a section of their own."""
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        _write_examples(self.examples, formatter)


class Group(click.Group):
    """A group whose commands are imported when they are used: ``entries`` maps a name to (module:attribute, help)."""

    command_class = Command
    context_class = Context

    def __init__(
        self,
        *arguments: Any,
        entries: Mapping[str, tuple[str, str]] | None = None,
        examples: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self.entries = dict(entries or {})
        self.examples = tuple(examples)
        super().__init__(*arguments, **settings)
        self.params += global_options()

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Declared order: the order in which a new user needs them."""
        return [*self.entries, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module now."""
        if cmd_name not in self.entries:
            return super().get_command(ctx, cmd_name)
        module, _colon, attribute = self.entries[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names. Raises UnknownChoice, with the nearest ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise UnknownChoice.among(_("command"), args[0], self.list_commands(ctx)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from ``entries`` alone: nothing is imported for it."""
        own = {name: command.get_short_help_str(100) for name, command in self.commands.items()}
        rows = [*((name, _(entry[1])) for name, entry in self.entries.items()), *own.items()]
        with formatter.section(_("Commands")):
            formatter.write_dl(rows)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands first, then the options."""
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        _write_examples(self.examples, formatter)


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    own: list[tuple[str, str]] = []
    shared: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and record[1]:  # an argument without a text of its own is in the usage line
            is_global = (parameter.name or "").startswith("global_")
            (shared if is_global else own).append(record)
    for title, rows in ((_("Options"), own), (_("Global options"), shared)):
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section(_("Examples")):
            for example in examples:
                formatter.write(f"{'':>{formatter.current_indent}}$ {example}\n")
