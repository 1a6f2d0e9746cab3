"""The errors of an engine's process: what happened, the last lines of its log, and a remedy."""

from __future__ import annotations

from ultralab.engines.host.diagnosis import ending, remedy
from ultralab.engines.host.log import Log, last_words
from ultralab.kernel.errors import EngineDied, EngineFailed
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

_STOPS = (".", "!", "?", "…", "。", "！", "？")


def died(title: str, status: int | None, log: Log) -> EngineDied:
    """The process ended without our doing."""
    lines = log.lines()
    return EngineDied(
        _told(
            _("The engine's process for {title} ended unexpectedly ({ending}).").format(
                title=title, ending=ending(status)
            ),
            lines,
        ),
        hint=_hint(remedy(lines, status), log),
        log=str(log.path),
        status=status,
    )


def stopped(sentence: str, status: int | None, log: Log) -> EngineDied:
    """It stopped answering (``sentence``, translated) and was ended for it."""
    lines = log.lines()
    return EngineDied(
        _told(sentence, lines), hint=_hint(remedy(lines) or _later(), log), log=str(log.path), status=status
    )


def refused(title: str, reason: str, log: Log) -> EngineFailed:
    """The engine said itself why it could not load."""
    lines = log.lines()
    message = _("{title} could not be loaded: {reason}").format(title=title, reason=printable(reason))
    return EngineFailed(_told(message, lines), hint=_hint(remedy((*lines, reason)), log), log=str(log.path))


def not_ready(sentence: str, log: Log) -> EngineFailed:
    """It was ended because it did not become ready (``sentence``, translated)."""
    lines = log.lines()
    return EngineFailed(_told(sentence, lines), hint=_hint(remedy(lines) or _later(), log), log=str(log.path))


def unusable(error: EngineFailed, log: Log) -> EngineFailed:
    """It lives, and what it answered (``error``) was no answer."""
    lines = log.lines()
    hint = remedy(lines) or error.hint or _later()
    return EngineFailed(_told(error.message, lines), hint=_hint(hint, log), **{**error.data, "log": str(log.path)})


def _later() -> str:
    return _("Try again; if it happens again, try another engine or smaller options.")


def _told(message: str, lines: tuple[str, ...]) -> str:
    if not lines:
        return message
    told = _("The last lines of its log: {lines}").format(lines=last_words(lines))
    stop = "" if message.endswith(_STOPS) else "."
    return f"{message}{stop} {told}"


def _hint(what: str, log: Log) -> str:
    where = _("The engine's log: {log}").format(log=log.path)
    return f"{what} {where}" if what else where
