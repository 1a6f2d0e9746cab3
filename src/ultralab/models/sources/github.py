"""Models attached to GitHub releases: ``github:owner/repo[@tag][:pattern]``; without a tag, the latest release.

GitHub's REST API, version 2022-11-28, “Releases”: ``GET /repos/{owner}/{repo}/releases/tags/{tag}`` and ``…/latest``; an
asset has ``name``, ``size``, ``state``, ``browser_download_url`` and, since June 2025, ``digest`` (``sha256:…``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.models.sources import answers, trust
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.models.sources.patterns import nothing_fits, select
from ultralab.models.sources.references import Repository, endpoints, first_reached, parse, token_for

DEFAULT: Final = "https://api.github.com"
REALM: Final = "github"
FORM: Final = "github:owner/repo[@tag][:pattern]"
LATEST: Final = "latest"

_VERSION: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_LOGIN: Final = "GITHUB_TOKEN=…, ultralab secrets set github"


class GitHubSource:
    """Assets of GitHub releases."""

    scheme = "github"

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """Ask for one release; ``latest`` becomes the tag that it is now."""
        wanted = parse(self.scheme, rest, FORM)
        addresses = endpoints(access, REALM, DEFAULT)
        endpoint, release = first_reached(addresses, lambda address: _release(address, wanted, access))
        tag = answers.text(release.get("tag_name"))
        if not tag or any(char in tag for char in ": "):
            raise answers.not_understood(endpoint)
        pinned = Repository(wanted.scheme, wanted.name, tag, wanted.pattern)
        assets = _assets(release, pinned)
        chosen = select(list(assets), wanted.pattern)
        if wanted.pattern and not chosen:
            raise nothing_fits(pinned.where, list(assets), wanted.pattern)
        return Resolution(
            ref=pinned.ref,
            name=wanted.name.rpartition("/")[2],
            version=tag,
            licence=_licence(endpoint, wanted, access),
            homepage=f"https://github.com/{wanted.name}",
            files=trust.require_distinct([_file(name, assets[name], pinned) for name in chosen], pinned.where),
        )


SOURCE: Final = GitHubSource()


def _token(access: Access, endpoint: str) -> str:
    return token_for(access, REALM, endpoint, (DEFAULT,))


def _release(endpoint: str, wanted: Repository, access: Access) -> dict[str, Any]:
    tag = wanted.revision or LATEST
    which = LATEST if tag == LATEST else f"tags/{quote(tag, safe='')}"
    url = f"{endpoint}/repos/{wanted.name}/releases/{which}"
    answer, release = answers.ask_object(url, token=_token(access, endpoint), headers=_VERSION)
    if answer.status != 200:
        raise _refused(answer, url, wanted)
    return release


def _refused(answer: answers.Answer, url: str, wanted: Repository) -> UltralabError:
    if answer.status == 404:
        return NotFound(
            _("GitHub has no release {ref}.").format(ref=wanted.where),
            hint=_("Check owner, name and tag; if it is private, log in by one of: {ways}.").format(ways=_LOGIN),
            ref=wanted.ref,
        )
    if answer.headers.get("x-ratelimit-remaining") == "0":
        return FetchFailed(
            _("GitHub answers no more questions of yours this hour."),
            hint=_("Wait, or log in by one of: {ways}.").format(ways=_LOGIN),
            url=url,
            status=answer.status,
        )
    if answer.status in (401, 403):
        return RequestError(
            _("GitHub refused your token ({status}).").format(status=answer.status),
            hint=_("Log in again by one of: {ways}.").format(ways=_LOGIN),
            ref=wanted.ref,
            status=answer.status,
        )
    return answers.failed(url, answer.status)


def _assets(release: Mapping[str, Any], wanted: Repository) -> dict[str, Mapping[str, Any]]:
    """The assets that were uploaded whole, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for asset in trust.listing(release.get("assets", []), wanted.where):
        if not isinstance(asset, dict):
            raise trust.refused(wanted.where, _("its list of files is none"))
        name = trust.safe_name(asset.get("name"), wanted.where)
        if name in found:
            raise trust.refused(wanted.where, _("it lists a file twice"))
        if asset.get("state", "uploaded") == "uploaded":
            found[name] = asset
    return found


def _file(name: str, asset: Mapping[str, Any], wanted: Repository) -> RemoteFile:
    digest = asset.get("digest")
    kind, _colon, value = digest.partition(":") if isinstance(digest, str) else ("", "", "")
    if digest and (kind != "sha256" or not value):
        raise trust.refused(
            wanted.where,
            _("its file {name} has a SHA-256 that is none: {digest}").format(name=name, digest=trust.shown(digest)),
        )
    url = asset.get("browser_download_url")
    if not isinstance(url, str) or not url.isprintable() or not _is_address(url):
        raise trust.refused(wanted.where, _("its file {name} has no address").format(name=name))
    return RemoteFile(
        name=name,
        url=url,
        size=trust.size(asset.get("size"), name, wanted.where),
        sha256=trust.digest(value, name, wanted.where),
    )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _licence(endpoint: str, wanted: Repository, access: Access) -> str:
    """The repository's SPDX identifier; empty where GitHub says none: the release is worth more than its description."""
    try:
        _answer, about = answers.ask_object(
            f"{endpoint}/repos/{wanted.name}", token=_token(access, endpoint), headers=_VERSION
        )
    except UltralabError:
        return ""
    licence = about.get("license")
    named = answers.text(licence.get("spdx_id")) if isinstance(licence, dict) else ""
    return "" if named == "NOASSERTION" else named
