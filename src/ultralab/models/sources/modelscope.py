"""ModelScope, the hub of the 魔搭 community: ``modelscope:org/repo[@revision][:pattern]``.

As its own clients (``modelscope_hub/_legacy_api.py``) ask: ``GET /api/v1/models/<repo>/repo/files?Revision=&Recursive=True``
lists ``Data.Files`` with ``Path``, ``Type`` (``blob`` or ``tree``), ``Size`` and ``Sha256``; a file lies at ``/api/v1/models/<repo>/repo?Revision=&FilePath=``.
A list is cut silently at 3,000 entries, and a revision that does not exist is a success without files. The token is sent
as a bearer; the cookie ``m_session_id`` beside it is what older servers read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from ultralab.kernel.errors import NotFound, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.models.pulling.grouping import with_companions
from ultralab.models.sources import answers, trust
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.models.sources.patterns import nothing_fits, select
from ultralab.models.sources.references import Repository, endpoints, first_reached, parse, token_for

DEFAULT: Final = "https://www.modelscope.cn"
REALM: Final = "modelscope"
FORM: Final = "modelscope:org/repo[@revision][:pattern]"
CUT_AT: Final = 3000
"""Entries after which the server leaves the rest of a list out without a word."""

_MOST_LISTS: Final = 200
_BRANCH: Final = "master"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_LOGIN: Final = "MODELSCOPE_API_TOKEN=…, ultralab secrets set modelscope"

Entry = Mapping[str, Any]
Listing = Callable[[str, bool], dict[str, Any]]
"""Lists a folder (empty: the whole repository), with what lies deeper or without: the answer's ``Data``."""


class ModelScopeSource:
    """Model repositories of ModelScope."""

    scheme = "modelscope"

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """Ask ModelScope (the first endpoint that can be reached) which files a revision has."""
        wanted = parse(self.scheme, rest, FORM)
        addresses = endpoints(access, REALM, DEFAULT)
        endpoint, (data, entries) = first_reached(addresses, lambda address: _list(address, wanted, access))
        blobs = {trust.safe_name(entry.get("Path"), wanted.where): entry for entry in entries}
        if len(blobs) != len(entries):
            raise trust.refused(wanted.where, _("it lists a file twice"))
        chosen = with_companions(list(blobs), select(list(blobs), wanted.pattern))
        if wanted.pattern and not chosen:
            raise nothing_fits(wanted.where, list(blobs), wanted.pattern)
        mirrors = tuple(address for address in addresses if address != endpoint)
        found = [_file(name, blobs[name], wanted, endpoint, mirrors) for name in chosen]
        licence, bases = _about(endpoint, wanted, access)
        return Resolution(
            ref=wanted.ref,
            name=wanted.name.rpartition("/")[2],
            version=_version(data, entries) or wanted.revision or _BRANCH,
            licence=licence,
            homepage=f"{DEFAULT}/models/{wanted.name}",
            files=trust.require_distinct(found, wanted.where),
            base_models=bases,
        )


SOURCE: Final = ModelScopeSource()


def _ask(url: str, token: str) -> tuple[int, Any]:
    """The status (the answer's own ``Code`` where that says more) and the ``Data`` of an answer."""
    cookie = {"Cookie": f"m_session_id={token}"} if token and token.isascii() and token.isprintable() else {}
    answer = answers.ask(url, token=token, headers={"Accept": "application/json", **cookie})
    try:
        content = answers.read_object(answer.body, url)
    except UltralabError:
        if answer.status == 200:
            raise
        return answer.status, None
    code = content.get("Code")
    if answer.status == 200 and content.get("Success") is False and isinstance(code, int):
        return code, None
    return answer.status, content.get("Data")


def _list(endpoint: str, wanted: Repository, access: Access) -> tuple[dict[str, Any], list[Entry]]:
    """What the answer says of the revision, and all its files. Raises NotFound, RequestError, FetchFailed."""
    token = token_for(access, REALM, endpoint, (DEFAULT,))
    base = f"{endpoint}/api/v1/models/{wanted.name}/repo/files"

    def listed(root: str, deep: bool) -> dict[str, Any]:
        asked = {"Revision": wanted.revision or _BRANCH, "Recursive": str(deep), **({"Root": root} if root else {})}
        url = f"{base}?{urlencode(asked)}"
        status, data = _ask(url, token)
        if status != 200:
            raise _refused(status, url, wanted)
        if not isinstance(data, dict):
            raise answers.not_understood(url)
        if data.get("Files") is None and not root:
            raise _no_revision(wanted)
        return data

    first = listed("", True)
    return first, _walk(first, listed, wanted)


def _walk(first: Mapping[str, Any], listed: Listing, wanted: Repository) -> list[Entry]:
    """All files: where a list was cut, folder by folder."""
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", first)]
    files: list[Entry] = []
    lists = 1
    while waiting:
        root, data = waiting.pop()
        entries = _entries(data, wanted)
        if len(entries) >= CUT_AT:
            entries = _entries(listed(root, False), wanted)
            folders = [
                trust.safe_name(entry.get("Path"), wanted.where) for entry in entries if entry.get("Type") == "tree"
            ]
            lists += 1 + len(folders)
            deeper = all(folder.startswith(f"{root}/" if root else "") and folder != root for folder in folders)
            if lists > _MOST_LISTS or len(entries) >= CUT_AT or not deeper:
                raise trust.refused(wanted.where, _("its list of files has no end"))
            waiting += [(folder, listed(folder, True)) for folder in folders]
        files += [entry for entry in entries if entry.get("Type") != "tree"]
        trust.require_count(len(files), wanted.where)
    return files


def _entries(data: Mapping[str, Any], wanted: Repository) -> list[Entry]:
    entries = trust.listing(data.get("Files") or [], wanted.where)
    found: list[Entry] = [entry for entry in entries if isinstance(entry, dict)]
    if len(found) != len(entries):
        raise trust.refused(wanted.where, _("its list of files is none"))
    return found


def _file(name: str, entry: Entry, wanted: Repository, endpoint: str, mirrors: tuple[str, ...]) -> RemoteFile:
    asked = urlencode({"Revision": wanted.revision or _BRANCH, "FilePath": name}, quote_via=quote)
    path = f"api/v1/models/{wanted.name}/repo?{asked}"
    return RemoteFile(
        name=name,
        url=f"{endpoint}/{path}",
        size=trust.size(entry.get("Size"), name, wanted.where),
        sha256=trust.digest(entry.get("Sha256"), name, wanted.where),
        realm=REALM if endpoint == DEFAULT else "",
        mirrors=tuple(f"{mirror}/{path}" for mirror in mirrors),
    )


def _version(data: Mapping[str, Any], entries: list[Entry]) -> str:
    """The commit of the list: named in full, or by its first digits where one of the files has the rest; else empty."""
    latest = data.get("LatestCommitter")
    told = [latest.get(key) for key in ("Id", "Revision", "ShortId")] if isinstance(latest, dict) else []
    for commit in told:
        if isinstance(commit, str) and _COMMIT.fullmatch(commit):
            return commit
    short = told[2] if told and isinstance(told[2], str) and len(told[2]) >= 7 else ""
    commits = {str(entry.get("Revision")) for entry in entries}
    return next((commit for commit in commits if short and commit.startswith(short) and _COMMIT.fullmatch(commit)), "")


def _about(endpoint: str, wanted: Repository, access: Access) -> tuple[str, tuple[str, ...]]:
    """Licence and base models; empty where the server does not say: the files are worth more than their description."""
    try:
        url = f"{endpoint}/api/v1/models/{wanted.name}"
        _status, data = _ask(url, token_for(access, REALM, endpoint, (DEFAULT,)))
    except UltralabError:
        return "", ()
    about = data if isinstance(data, dict) else {}
    bases = about.get("BaseModel")
    listed = [bases] if isinstance(bases, str) else bases if isinstance(bases, list) else []
    return answers.text(about.get("License")), tuple(base for base in map(answers.text, listed[:20]) if base)


def _refused(status: int, url: str, wanted: Repository) -> UltralabError:
    if status in (401, 403):
        return RequestError(
            _("ModelScope does not give {name} to everybody ({status}).").format(name=wanted.name, status=status),
            hint=_("Ask for access on {page}, then log in by one of: {ways}.").format(
                page=f"{DEFAULT}/models/{wanted.name}", ways=_LOGIN
            ),
            ref=wanted.ref,
            status=status,
        )
    if status == 404 or status >= 10_000:  # its own codes: "the model does not exist"
        return NotFound(
            _("ModelScope has no model {name}.").format(name=wanted.name),
            hint=_("Check the spelling; if it is private, log in by one of: {ways}.").format(ways=_LOGIN),
            ref=wanted.ref,
        )
    return answers.failed(url, status)


def _no_revision(wanted: Repository) -> NotFound:
    return NotFound(
        _("{name} has no revision {revision}.").format(
            name=f"modelscope:{wanted.name}", revision=wanted.revision or _BRANCH
        ),
        hint=_("Look at its branches and tags: {page}").format(page=f"{DEFAULT}/models/{wanted.name}/files"),
        ref=wanted.ref,
    )
