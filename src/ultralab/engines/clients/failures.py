"""The errors of servers as their clients see them: what happened, in the server's own words, and a remedy."""

from __future__ import annotations

import re
from typing import Final

from ultralab.kernel.errors import EngineFailed
from ultralab.kernel.language import N_, _
from ultralab.kernel.text import printable

_CONTEXT: Final = re.compile(r"context (size|length|window)|exceed.*context|(prompt|input).*too long", re.IGNORECASE)
_TOO_LONG: Final = N_(
    "The prompt and the answer must fit into the context: take a shorter text, or load the model with a larger context."
)
_KEY: Final = N_("The server wants a key that it knows: ultralab secrets set engines.external.NAME stores one.")
_WHERE: Final = N_("Check the name of the model, and the address of the server.")
_MOVED: Final = N_("The server is elsewhere: give the address that it leads to. A key is never sent on by itself.")
_ASKED: Final = N_("Change what the reason names, and ask again.")
_SOON: Final = N_("The server is busy, or still loading: ask again in a moment.")
_ABLE: Final = N_("What each engine can do: ultralab engines list.")
_AGAIN: Final = N_("Its log may say why. If it happens again, load the model anew, or take another engine.")
_GONE: Final = N_("See whether the server still runs, and whether its address is right.")
_OTHER: Final = N_("What answers there may be another kind of server, or another version: check the address.")
_BY_STATUS: Final = {401: _KEY, 403: _KEY, 404: _WHERE, 429: _SOON, 501: _ABLE, 503: _SOON}


def refused(reason: str, status: int = 200) -> EngineFailed:
    """The server said no; its data has ``status``, where that says so, too."""
    message = _("The engine refused the request: {reason}").format(reason=printable(reason))
    if status == 200:
        return EngineFailed(message, hint=remedy(reason, 400))
    return EngineFailed(message, hint=remedy(reason, status), status=status)


def broke_off(reason: str) -> EngineFailed:
    """The server said in the middle of its answer that it cannot go on."""
    return EngineFailed(
        _("The engine could not go on: {reason}").format(reason=printable(reason)), hint=remedy(reason, 500)
    )


def cut_off() -> EngineFailed:
    """The answer ended without saying so."""
    return EngineFailed(_("The engine's answer ended in the middle."), hint=_(_AGAIN))


def silent(reason: str) -> EngineFailed:
    """Nothing answers (``reason``, translated)."""
    return EngineFailed(_("The engine does not answer: {reason}").format(reason=reason), hint=_(_GONE))


def unreadable(path: str, error: Exception) -> EngineFailed:
    """The answer is not what was to be expected of ``path``."""
    return EngineFailed(
        _("The engine's answer to {path} cannot be read: {error}").format(
            path=path, error=printable(f"{type(error).__name__}: {error}")
        ),
        hint=_(_OTHER),
    )


def is_about_context(error: EngineFailed) -> bool:
    """Whether a server refused because its context is too small, as far as its words tell."""
    return _CONTEXT.search(error.message) is not None


def remedy(reason: str, status: int) -> str:
    """What to do (translated) about a refusal with this reason and HTTP status."""
    if _CONTEXT.search(reason):
        return _(_TOO_LONG)
    if status in _BY_STATUS:
        return _(_BY_STATUS[status])
    if 300 <= status < 400:
        return _(_MOVED)
    return _(_ASKED if status < 500 else _AGAIN)
