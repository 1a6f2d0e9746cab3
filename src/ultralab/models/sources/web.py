"""A file at an address: ``https://host/model.gguf``, ``http://…``. A page of a hub is read as the hub's own reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import Message
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ultralab.kernel.errors import NotFound, RequestError, Unsupported
from ultralab.kernel.language import _
from ultralab.models.sources import answers, trust
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution, Source
from ultralab.models.sources.pages import reference_behind

_FORM: Final = "https://host/model.gguf"
_MOST: Final = 4096
_TOTAL: Final = re.compile(r"bytes \d+-\d+/(\d{1,19})")
_EXTENDED: Final = re.compile(r"filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]*)", re.IGNORECASE)
_SECRETS: Final = frozenset(
    {"token", "access_token", "private_token", "api_key", "apikey", "password", "x-amz-signature", "x-amz-credential",
     "x-goog-signature", "x-goog-credential", "sig", "signature"}
)  # fmt: skip


class WebSource:
    """One file behind an address of one scheme."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """Ask for the file's first byte: its size, its name and its entity tag."""
        url = _address(f"{self.scheme}:{rest}")
        if ref := reference_behind(url, access.endpoints):
            return _from_hub(ref, access)
        answer = answers.ask(url, headers={"Range": "bytes=0-0"}, most=1, beginning=True)
        if answer.status != 416:  # an empty file has no first byte
            _require_file(answer, url)
        name = _name(answer.headers, url, answer.url)
        etag = answers.text(answer.headers.get("etag"))
        return Resolution(
            ref=url,
            name=name.rpartition(".")[0] or name,
            version="" if etag.startswith("W/") else etag.strip('"'),
            licence="",
            homepage="",
            files=(RemoteFile(name, url, trust.size(_size(answer), name, url), ""),),
        )


HTTPS: Final = WebSource("https")
HTTP: Final = WebSource("http")


def _from_hub(ref: str, access: Access) -> Resolution:
    from ultralab.models.sources import github, huggingface, modelscope

    scheme, _colon, rest = ref.partition(":")
    hubs: dict[str, Source] = {"hf": huggingface.SOURCE, "modelscope": modelscope.SOURCE, "github": github.SOURCE}
    return hubs[scheme].resolve(rest, access)


def _address(url: str) -> str:
    """The address without its fragment. Raises RequestError for one that is none, or that holds a secret."""
    try:
        parts = urlsplit(url)
        host, user = parts.hostname, parts.username
        _port = parts.port
    except ValueError:
        raise _no_address(url) from None
    if user is not None or parts.password is not None or _secrets_in(parts):
        raise RequestError(
            _("The address of {host} holds a password or a token.").format(host=host or "-"),
            hint=_("It would be kept in the lab's records. Fetch the file yourself and give its path."),
        )
    if not host or not parts.path.strip("/") or not url.isprintable() or " " in url or len(url) > _MOST:
        raise _no_address(url)
    return parts._replace(fragment="").geturl()


def _secrets_in(parts: SplitResult) -> bool:
    return any(key.lower() in _SECRETS for key, _value in parse_qsl(parts.query, keep_blank_values=True))


def _no_address(url: str) -> RequestError:
    return RequestError(
        _("{url} is not the address of a file.").format(url=trust.shown(url)),
        hint=_("Write it as {form}.").format(form=_FORM),
        url=trust.shown(url),
    )


def _require_file(answer: answers.Answer, url: str) -> None:
    if answer.status in (404, 410):
        raise NotFound(
            _("There is no file at {url} ({status}).").format(url=url, status=answer.status),
            hint=_("Check the address."),
            url=url,
        )
    if answer.status in (401, 403):
        raise RequestError(
            _("{url} is not open to everybody ({status}).").format(url=url, status=answer.status),
            hint=_("Fetch the file yourself and give its path."),
            url=url,
            status=answer.status,
        )
    if answer.status not in (200, 206):
        raise answers.failed(url, answer.status)
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() in (
        "text/html",
        "application/xhtml+xml",
    ):
        raise Unsupported(
            _("{url} is a page, not a model file.").format(url=url),
            hint=_("Give the address behind its download button."),
            url=url,
        )


def _size(answer: answers.Answer) -> int | None:
    """Bytes of the whole file, where the server says it."""
    match = _TOTAL.match(answer.headers.get("content-range", ""))
    if answer.status == 206:
        return int(match[1]) if match else None
    length = answer.headers.get("content-length", "")
    whole = answer.status == 200 and length.isascii() and length.isdecimal() and len(length) < 20
    return int(length) if whole else None


def _name(headers: Mapping[str, str], asked: str, answered: str) -> str:
    """What the server calls the file, else the last part of the address. Raises RequestError for an unsafe name."""
    if told := _disposition(headers.get("content-disposition", "")):
        if "/" in told:
            raise trust.refused(asked, _("it has a file with the unsafe name {name}").format(name=trust.shown(told)))
        return trust.safe_name(told, asked)
    paths = [urlsplit(url).path.rstrip("/") for url in (asked, answered)]
    names = [unquote(path.rpartition("/")[2]) for path in paths]
    name = next((name for name in names if "." in name), names[0])
    if "/" in name:
        raise trust.refused(asked, _("it has a file with the unsafe name {name}").format(name=trust.shown(name)))
    return trust.safe_name(name, asked)


def _disposition(value: str) -> str:
    """The file name in a ``Content-Disposition`` header (RFC 6266), empty where there is none."""
    if not value or len(value) > _MOST:
        return ""
    if extended := _EXTENDED.search(value):  # it comes before the plain one
        return unquote(extended[2], encoding=extended[1], errors="replace")
    message = Message()
    message["Content-Disposition"] = value
    return message.get_filename("") or ""
