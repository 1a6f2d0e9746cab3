"""The page about one job: what it is, why it waits, its attempts, its progress. Values in, text out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ultralab.cli.jobs.views import iso
from ultralab.jobs.states import STATE_NAMES
from ultralab.jobs.types import ACTIVE, OVER, Cause, JobSpec
from ultralab.kernel.language import N_, _
from ultralab.kernel.text import display_width, printable, shorten, wrap
from ultralab.kernel.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.app.jobs import AttemptView, JobView
    from ultralab.system.process import ProcessId

Row = tuple[str, str | Sequence[str]]

_WIDTH: Final = 80
_NARROWEST: Final = 30
_BAR: Final = 20
_LABEL: Final = 40
_LEAST_LABEL: Final = 8
_STEPS_SHOWN: Final = 10
_LEAST_SHARE: Final = 0.01  # of a step, before the time that is left means anything
_GPU: Final = {"none": "", "shared": N_("GPU shared"), "exclusive": N_("GPU exclusive")}
_CAUSES: Final[dict[Cause, str]] = {
    "signal": N_("ended by a signal"),
    "timeout": N_("took longer than allowed"),
    "cancel": N_("cancelled"),
    "shutdown": N_("the machine shut down"),
    "not_started": N_("could not be started"),
    "lost": N_("cut off without a record"),
}


def draw(out: Console, view: JobView, now: float) -> None:
    """The page."""
    from rich.text import Text

    job = view.job
    out.print(
        Text.assemble((printable(job.spec.name), "bold"), f"  {job.id}  {_(STATE_NAMES[job.state])}"), soft_wrap=True
    )
    attempts = [
        (_("Attempt {number}").format(number=attempt.fence), _attempt(attempt, runs=_runs(view, attempt)))
        for attempt in view.attempts
    ]
    _rows(out, [*_what(view), *_declared(job.spec), *_moments(view, now), *attempts, *_printed(view)])
    live = job.state in ACTIVE
    if view.progress and (steps := progress_lines(view.progress, now, live=live)):
        out.print("\n" + "\n".join(steps) + "\n", soft_wrap=True)
    out.print(str(view.folder), soft_wrap=True, style="dim")


def _rows(out: Console, rows: Sequence[Row]) -> None:
    """Names and what they are. On a terminal in lines that fit; for a program one line each, with nothing behind it."""
    from rich.text import Text

    column = max(display_width(name) for name, _value in rows)
    width = max(_NARROWEST, out.width - column - 2) if out.is_terminal else None
    for name, value in rows:
        head = name + " " * (column - display_width(name))
        for line in _broken(value, width):
            out.print(Text.assemble((head, "dim"), f"  {line}"), soft_wrap=True)
            head = " " * column


def _broken(value: str | Sequence[str], width: int | None) -> list[str]:
    """A text in lines of a width, at least one; of several pieces, none is broken."""
    if width is None:
        return [value if isinstance(value, str) else "  ".join(value)]
    if isinstance(value, str):
        return wrap(value, width) or [""]
    lines: list[str] = []
    for piece in value:
        if lines and display_width(f"{lines[-1]}  {piece}") <= width:
            lines[-1] += f"  {piece}"
        else:
            lines.append(piece)
    return lines


def why(view: JobView) -> str:
    """One sentence about where a job stands: why it waits, or what it is doing."""
    if view.waiting is not None:
        from ultralab.jobs.scheduling.reasons import sentence

        return sentence(view.waiting)
    if view.job.state == "queued":
        return _("Starts now.")
    if view.stopped:
        worker = worker_of(view)
        pid = "?" if worker is None else worker.pid
        return _("Its command is stopped (SIGSTOP). It goes on with: kill -CONT {pid}").format(pid=pid)
    if view.job.state == "interrupted":
        again = _("Was cut off, and may not run again by itself. To run it again: ultralab jobs retry {number}")
        return again.format(number=view.job.id)
    return ""


def worker_of(view: JobView) -> ProcessId | None:
    """The process of its command, while it runs."""
    return view.attempts[-1].worker if view.attempts else None


def shell_line(argv: Sequence[str]) -> str:
    """A command as one can paste it into a shell. What a terminal would act upon is written as ``$'…'``."""
    return " ".join(shlex.quote(word) if word.isprintable() else _ansi_quoted(word) for word in argv)


def progress_lines(
    progress: Mapping[str, Any], now: float, *, live: bool = True, under_way_only: bool = False
) -> list[str]:
    """A line per step, a bar for those that are under way (``live``), or were when the job ended.

    The file is a job's own: what is wrong in it is left out.
    """
    steps = [step for step in _list(progress.get("steps")) if isinstance(step, dict)]
    shown = [step for step in steps if not (under_way_only and _number(step.get("ended")) is not None)]
    at = now if live else _number(progress.get("updated"))
    return [_step_line(step, at, live=live) for step in shown[-_STEPS_SHOWN:]]


def _what(view: JobView) -> list[Row]:
    spec, condition = view.job.spec, view.job.condition
    rows: list[Row] = []
    if sentence := why(view):
        rows.append((_("Now"), sentence))
    rows += [(_("Command"), shell_line(spec.argv)), (_("Folder"), printable(spec.cwd, 1000))]
    if condition.status is not None:
        rows.append((_("Exit"), _because(str(condition.status), condition.cause)))
    if view.attempts and view.attempts[-1].ended and view.attempts[-1].ended.problem:
        rows.append((_("Problem"), printable(view.attempts[-1].ended.problem, 1000)))
    return rows


def _because(what: str, cause: Cause) -> str:
    """How it ended, with the cause behind it where there is one to name."""
    named = _CAUSES.get(cause)
    return _("{what} ({cause})").format(what=what, cause=_(named)) if named else what


def _declared(spec: JobSpec) -> list[Row]:
    takes = [
        _("{size} of memory").format(size=format_bytes(spec.needs.memory)) if spec.needs.memory else "",
        _(_GPU[spec.needs.gpu]),
        _("{size} of disk").format(size=format_bytes(spec.needs.disk)) if spec.needs.disk else "",
        _("network") if spec.needs.network else "",
    ]
    rules = [
        _("priority {number}").format(number=spec.priority) if spec.priority else "",
        _("at night") if spec.night else "",
        _("not before {moment}").format(moment=iso(spec.not_before)) if spec.not_before is not None else "",
        *(_after(need.job, need.how) for need in spec.after),
        _("at most {time}").format(time=format_seconds(spec.timeout)) if spec.timeout else "",
        _("repeated up to {count} times when it fails").format(count=spec.retries) if spec.retries else "",
        _("may run again after an interruption") if spec.idempotent or spec.resumable else "",
        _("schedule {name}").format(name=spec.schedule) if spec.schedule else "",
    ]
    found = ((_("Takes"), takes), (_("Rules"), rules))
    rows = [(name, _(", ").join(filter(None, parts))) for name, parts in found]
    return [
        (_("Kind"), _("{kind}, from {owner}").format(kind=printable(spec.kind), owner=printable(spec.owner) or "–")),
        *((a, b) for a, b in rows if b),
    ]


def _after(job: int, how: str) -> str:
    text = _("after the success of job {number}") if how == "success" else _("after the end of job {number}")
    return text.format(number=job)


def _moments(view: JobView, now: float) -> list[Row]:
    condition = view.job.condition
    found = (
        (_("Submitted"), condition.submitted),
        (_("Started"), condition.started),
        (_("Ended"), condition.ended if view.job.state in OVER else None),
    )
    rows: list[Row] = [(name, iso(at) or "") for name, at in found if at is not None]
    if view.job.state not in OVER and condition.started is not None and view.attempts:
        rows.append((_("Runs for"), format_seconds(max(0.0, now - condition.started))))
    return rows


def _printed(view: JobView) -> list[Row]:
    """Where the output is of a job that is over."""
    if view.job.state not in OVER or not view.attempts:
        return []
    return [(_("Output"), f"ultralab jobs logs {view.job.id}")]


def _runs(view: JobView, attempt: AttemptView) -> bool:
    return attempt is view.attempts[-1] and view.job.state in ACTIVE


def _attempt(attempt: AttemptView, *, runs: bool) -> list[str]:
    """One attempt in pieces: when, how long, how it ended, what it took."""
    parts = [iso(attempt.begun) or "–"]
    ended = attempt.ended
    if ended is None:
        parts.append(_("runs") if runs else _("cut off without a record"))
    else:
        parts += [
            format_seconds(ended.seconds),
            _because(_("exit {status}").format(status=ended.status), ended.cause),
            _("peak {size}").format(size=format_bytes(ended.peak_rss_bytes)) if ended.peak_rss_bytes else "",
        ]
    parts.append(_("output {size}").format(size=format_bytes(attempt.output_bytes)))
    if ended is not None and ended.output_lost:
        parts.append(_("{size} lost: the disk was full").format(size=format_bytes(ended.output_lost)))
    if ended is not None and ended.left_behind:
        parts.append(_("processes ended that it left: {count}").format(count=ended.left_behind))
    return [part for part in parts if part]


def _ansi_quoted(word: str) -> str:
    """``$'…'`` as bash, zsh and POSIX (2024) read it; bytes that are no UTF-8 come back as they were."""
    known = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}
    kept = [known.get(char) or (char if char.isprintable() else _escaped(char)) for char in word]
    return f"$'{''.join(kept)}'"


def _escaped(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode(errors="surrogateescape"))


def _step_line(step: Mapping[str, Any], now: float | None, *, live: bool) -> str:
    label = printable(str(step.get("label", "")), _LABEL)
    started, ended = _number(step.get("started")), _number(step.get("ended"))
    until = now if ended is None else ended
    lasted = None if started is None or until is None else max(0.0, until - started)
    time = "" if lasted is None else format_seconds(lasted)
    if ended is not None:
        mark = "✗" if step.get("failed") else "✓"
        return f"  {mark} {label}  {time}".rstrip()
    done, total = _number(step.get("done")) or 0.0, _number(step.get("total"))
    detail = printable(str(step.get("detail") or ""), 30)
    if not total or total <= 0:
        return "  ".join(filter(None, (f"  … {label}", detail, time)))
    share = min(1.0, max(0.0, done / total))
    filled = int(share * _BAR)
    bar = "█" * filled + "░" * (_BAR - filled)
    amount = _amount(done, total, str(step.get("unit", "")))
    left = ""
    if live and lasted is not None and share > _LEAST_SHARE:
        left = _("{time} left").format(time=format_seconds(lasted / share * (1 - share)))
    figures = "  ".join(filter(None, (f"{bar} {share:4.0%}", amount, left)))
    label = shorten(label, max(_LEAST_LABEL, _WIDTH - display_width(figures) - 4))  # before any figure is
    line = f"  {label}  {figures}"
    return f"{line}  {detail}" if detail and display_width(f"{line}  {detail}") <= _WIDTH else shorten(line, _WIDTH)


def _amount(done: float, total: float, unit: str) -> str:
    if unit == "bytes":
        return f"{format_bytes(done)}/{format_bytes(total)}"
    return f"{done:.0f}/{total:.0f}" if unit else ""


def _number(value: object) -> float | None:
    """A finite number from a file that a job wrote."""
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18
    return float(value) if fine and isinstance(value, (int, float)) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
