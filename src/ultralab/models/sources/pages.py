"""Addresses of pages that people copy from a browser, read as references to the hub behind them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import _

_HUGGING_FACE: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com"})
_MODELSCOPE: Final = frozenset({"modelscope.cn", "www.modelscope.cn"})
_GITHUB: Final = frozenset({"github.com", "www.github.com"})
_FILE: Final = frozenset({"blob", "resolve", "raw"})
_NO_MODELS: Final = frozenset({"datasets", "spaces"})
_NO_OWNERS: Final = frozenset(
    {"api", "docs", "blog", "collections", "papers", "settings", "join", "login", "models", "organizations", "learn"}
)


def reference_behind(url: str, endpoints: Mapping[str, Sequence[str]]) -> str:
    """``hf:…``, ``modelscope:…`` or ``github:…`` for a page or a file of that hub, empty for any other address.

    ``endpoints`` are the user's own addresses of each realm. Raises RequestError for a page of something else than a model.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    segments = [unquote(part) for part in parts.path.split("/") if part]
    if host in _HUGGING_FACE or _is_own(parts.scheme, parts.netloc, endpoints.get("hf", ())):
        return _hugging_face(segments, url)
    if host in _MODELSCOPE or _is_own(parts.scheme, parts.netloc, endpoints.get("modelscope", ())):
        return _modelscope(segments)
    if host in _GITHUB and len(segments) == 6 and segments[2:4] == ["releases", "download"]:
        return f"github:{segments[0]}/{segments[1]}@{segments[4]}:{segments[5]}"
    return ""


def _is_own(scheme: str, place: str, endpoints: Sequence[str]) -> bool:
    return any(urlsplit(endpoint)[:2] == (scheme, place) for endpoint in endpoints)


def _hugging_face(segments: Sequence[str], url: str) -> str:
    if segments and segments[0] in _NO_MODELS:
        raise RequestError(
            _("{url} is no model.").format(url=url),
            hint=_("Give the address of a model's page, or write {form}.").format(form="hf:org/repo"),
            url=url,
        )
    if len(segments) < 2 or segments[0] in _NO_OWNERS:
        return ""
    at = 1 if segments[1] in _FILE | {"tree"} else 2  # the oldest models have no owner
    return _reference("hf", "/".join(segments[:at]), segments[at:], "main")


def _modelscope(segments: Sequence[str]) -> str:
    if len(segments) < 3 or segments[0] != "models":
        return ""
    rest = segments[3:]
    if rest[:2] == ["file", "view"]:
        rest = ["blob", *rest[2:]]
    return _reference("modelscope", "/".join(segments[1:3]), rest, "master")


def _reference(scheme: str, repository: str, rest: Sequence[str], usual: str) -> str:
    """``rest`` is what follows a repository in its pages: ``resolve/<revision>/<path>``, ``tree/<revision>/<folder>``."""
    revision = rest[1] if len(rest) > 1 and rest[0] in _FILE | {"tree"} else ""
    path = "/".join(rest[2:]) if revision else ""
    if path and rest[0] == "tree":
        path += "/*"
    at = f"@{revision}" if revision not in ("", usual) else ""
    return f"{scheme}:{repository}{at}" + (f":{path}" if path else "")
