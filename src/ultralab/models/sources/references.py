"""References to repositories, ``org/repo[@revision][:pattern]``, and which of a hub's addresses may be given a token. Pure but for one variable."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ultralab.kernel.errors import FetchFailed, RequestError
from ultralab.kernel.language import _
from ultralab.models.sources.base import Access

_PART: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?"
_REFERENCE: Final = re.compile(
    rf"(?P<repository>(?:{_PART}/)?{_PART})(?:@(?P<revision>[^:]+))?(?::(?P<pattern>.+))?", re.DOTALL
)
_MOST: Final = 500

Found = TypeVar("Found")


@dataclass(frozen=True)
class Repository:
    """A repository, as asked for. ``revision`` and ``pattern`` are empty where the reference has none."""

    scheme: str
    name: str
    revision: str
    pattern: str

    @property
    def ref(self) -> str:
        """The reference in full."""
        revision = f"@{self.revision}" if self.revision else ""
        pattern = f":{self.pattern}" if self.pattern else ""
        return f"{self.scheme}:{self.name}{revision}{pattern}"

    @property
    def where(self) -> str:
        """The reference without its pattern, for messages."""
        return f"{self.scheme}:{self.name}" + (f"@{self.revision}" if self.revision else "")


def parse(scheme: str, rest: str, form: str, *, owner_needed: bool = True) -> Repository:
    """What follows ``scheme:``. Raises RequestError, whose hint shows ``form``."""
    match = _REFERENCE.fullmatch(rest) if len(rest) <= _MOST and rest.isprintable() else None
    name, revision = (match["repository"], match["revision"] or "") if match else ("", "")
    bad_revision = ".." in revision or " " in revision or revision.startswith("-")
    if match is None or bad_revision or ".." in name or (owner_needed and "/" not in name):
        raise RequestError(
            _("{ref!r} is no reference to a repository.").format(ref=f"{scheme}:{rest}"[:_MOST]),
            hint=_("Write it as {form}.").format(form=form),
            ref=f"{scheme}:{rest}"[:_MOST],
        )
    return Repository(scheme, name, revision, match["pattern"] or "")


def endpoints(access: Access, realm: str, default: str) -> tuple[str, ...]:
    """A realm's addresses without a slash at the end, each once, in the order in which they are asked."""
    return tuple(dict.fromkeys(address.rstrip("/") for address in access.endpoints.get(realm) or (default,)))


def token_for(access: Access, realm: str, endpoint: str, trusted: Sequence[str | None]) -> str:
    """The realm's token, if ``endpoint`` may be given it: it is the realm's own or the user named it by a variable."""
    known = {address.rstrip("/") for address in trusted if address}
    return access.token(realm) if endpoint in known else ""


def first_reached(addresses: Sequence[str], ask: Callable[[str], Found]) -> tuple[str, Found]:
    """The first address that can be reached, and its answer. Raises the first one's FetchFailed where none can."""
    failures: list[FetchFailed] = []
    for address in addresses:
        try:
            return address, ask(address)
        except FetchFailed as error:
            failures.append(error)
    raise failures[0]
