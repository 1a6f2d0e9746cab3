"""What a download raises. Sentences for people stand here; the downloader's own signals too."""

from __future__ import annotations

from ultralab.kernel.errors import FetchFailed, FileDamaged, NotFound, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.models.sources.base import RemoteFile


class TryAgain(Exception):
    """A try failed in a way that another one may not; ``wish`` is how many seconds the server asked to wait."""

    def __init__(self, reason: FetchFailed, wish: float | None = None) -> None:
        super().__init__()
        self.reason = reason
        self.wish = wish


class Changed(Exception):
    """The server's file is another one than the one that was begun."""


class WronglyPacked(Exception):
    """A body that says that it is compressed and, taken so, is not what was promised."""


class Stopped(Exception):
    """Nobody wants the rest any more."""


def failed(url: str, what: str) -> FetchFailed:
    """``what`` continues the sentence that begins with the address (already translated)."""
    return FetchFailed(
        _("{url} {what}.").format(url=url, what=what),
        hint=_("The server may be at fault: try again later."),
        url=url,
    )


def answered(url: str, status: int) -> FetchFailed:
    """A status that nothing is to be done about."""
    return FetchFailed(
        _("{url} answered {status}.").format(url=url, status=status),
        hint=_("Check the address; if it is right, the server may be at fault: try later."),
        url=url,
        status=status,
    )


def refused(url: str, status: int, *, realm: str, with_token: bool) -> UltralabError:
    """The error for 401, 403, 404 and 410. ``realm`` is whose token ``url`` may be given, ``with_token`` that it was."""
    if status in (404, 410):
        return NotFound(
            _("{url} does not exist (answer {status}).").format(url=url, status=status),
            hint=_("Check the reference; private files look as if they were not there to who has no token for them."),
            url=url,
            status=status,
        )
    if with_token:
        hint = _("The token for {realm} gives no access: accept the model's terms on its page, or use another token.")
    elif realm:
        hint = _("Give a token for {realm}; some models ask besides that you accept their terms on their page.")
    else:
        hint = _(
            "The address needs rights that ultralab has not: use a source that knows your token, or another address."
        )
    return RequestError(
        _("{url} refuses access (answer {status}).").format(url=url, status=status),
        hint=hint.format(realm=realm),
        url=url,
        status=status,
    )


def given_up(reason: FetchFailed, kept: int) -> FetchFailed:
    """The last reason, and the comfort that the bytes that arrived are kept."""
    if not kept:
        return reason
    hint = _("Try again later: what has arrived is kept and the download goes on from there.")
    return FetchFailed(reason.message, hint=hint, **reason.data)


def changes_always(url: str) -> FetchFailed:
    """A server that shows another file each time."""
    return FetchFailed(
        _("{url} changed again and again while it was fetched.").format(url=url),
        hint=_("Somebody may be publishing it just now: try again later, or use another address."),
        url=url,
    )


def wrong_size(remote: RemoteFile, url: str, found: int) -> FileDamaged:
    """A size other than the source's promise."""
    return FileDamaged(
        _("{url} has {found} bytes, its source promised {expected}.").format(
            url=url, found=found, expected=remote.size
        ),
        hint=_(
            "Nothing of it was kept. Ask the source anew; if it stays so, a proxy or a mirror delivers wrong bytes."
        ),
        url=url,
        found=found,
        expected=remote.size,
    )


def check_hash(remote: RemoteFile, url: str, found: str) -> None:
    """Raise FileDamaged unless ``found`` is the promised SHA-256, or none was promised."""
    if remote.sha256 and found != remote.sha256.lower():
        raise FileDamaged(
            _("{url} is not what its source promised: SHA-256 {found}, expected {expected}.").format(
                url=url, found=found, expected=remote.sha256
            ),
            hint=_("Nothing of it was kept. Try again; if it stays so, a proxy or a mirror delivers wrong bytes."),
            url=url,
            found=found,
            expected=remote.sha256,
        )
