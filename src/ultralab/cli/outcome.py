"""The one place where an error becomes a message, a hint and an exit status."""

from __future__ import annotations

import json
import os
import sys
import traceback

import click

from ultralab.cli.frame import Request
from ultralab.cli.output import lossless
from ultralab.kernel.errors import Interrupted, UltralabError
from ultralab.kernel.language import _
from ultralab.system import environ

PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell would say it


def report(error: BaseException, request: Request, *, as_json: bool) -> int:
    """Print an error for a person (or as JSON) on standard error; the exit status."""
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:  # a group alone: its help, no complaint
        error.show()
        return error.exit_code
    message, hint, status, kind, data = _explain(error)
    if as_json:
        problem = {"kind": kind, "message": message, "hint": hint, "exit_status": status, "data": data}
        print(lossless(json.dumps({"error": problem}, ensure_ascii=False)), file=sys.stderr)
    else:
        _print(message, hint)
    if request.verbose or environ.read("ULTRALAB_DEBUG"):
        traceback.print_exception(error)
    return status


def _explain(error: BaseException) -> tuple[str, str, int, str, dict[str, object]]:
    if isinstance(error, UltralabError):
        return error.message, error.hint, error.exit_status, error.kind, dict(error.data)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        stopped = Interrupted()
        return stopped.message, "", stopped.exit_status, stopped.kind, {}
    if isinstance(error, click.ClickException):
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "ultralab"
        hint = _("See: {command} --help").format(command=path)
        bare = isinstance(error, click.exceptions.NoArgsIsHelpError)
        message = _("Missing command.") if bare else error.format_message()
        return message, hint, 2, "UsageError", {}
    message = _("Something unforeseen happened: {kind}: {error}").format(kind=type(error).__name__, error=error)
    hint = _("This is a fault of ultralab. Please report it with the output of the same command and --verbose.")
    return message, hint, 1, "InternalError", {}


def _print(message: str, hint: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
    before, _sign, behind = _("Error: {message}").partition("{message}")
    console.print(Text.assemble((before, "bold red"), message, behind))
    if hint:
        console.print(Text(f"  → {hint}", "dim"))
