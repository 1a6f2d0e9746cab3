"""Local servers that speak the documented APIs of model hubs, with files of the test's own. For tests on loopback.

Written from documentation: Hugging Face “Hub API Endpoints” and the error headers that ``huggingface_hub`` reads
(``X-Error-Code``); ModelScope's own clients (``modelscope_hub/_legacy_api.py``); GitHub's REST API “Releases”; Ollama's
registry as its ``server/images.go`` asks it. Each hub is a function from what was asked to what is replied.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee" * 6 + "abcd"


@dataclass(frozen=True)
class Asked:
    """One request: the path unquoted, the first value of each query field, headers with names in lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def token(self) -> str:
        """The bearer token that came with it."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Reply:
    """One answer. A ``body`` that is no bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Hub = Callable[[Asked], Reply]


@dataclass
class Served:
    """A hub that is being served: its address, and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [asked.path for asked in self.asked]


@contextmanager
def serve(hub: Hub) -> Iterator[Served]:
    """Serve a hub on loopback."""
    served = Served("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
            asked = Asked(unquote(parts.path), query, {key.lower(): value for key, value in self.headers.items()})
            served.asked.append(asked)
            _send(self, _ranged(hub(asked), asked))

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sha256(content: bytes) -> str:
    """Hex digits."""
    return hashlib.sha256(content).hexdigest()


@dataclass
class HuggingFace:
    """The Hugging Face hub with one repository; ``card`` is the head of its README."""

    files: Mapping[str, bytes]
    repository: str = "org/repo"
    commit: str = COMMIT
    branches: tuple[str, ...] = ("main",)
    card: Mapping[str, Any] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    members: tuple[str, ...] = ()
    """Tokens that may see a private or fetch from a gated repository."""
    small: int = 32
    """Files of up to so many bytes are in git itself: they have no LFS hash."""

    def __call__(self, asked: Asked) -> Reply:
        api, file = f"/api/models/{self.repository}", f"/{self.repository}/resolve/"
        if self.private and asked.token not in self.members:
            return self._missing(401 if not asked.token else 404)
        if asked.path == f"{api}/auth-check":
            return self._closed() if self.gated and asked.token not in self.members else Reply(body=b"OK")
        if asked.path == api or asked.path.startswith(f"{api}/revision/"):
            revision = asked.path.removeprefix(api).removeprefix("/revision/") or self.branches[0]
            if revision not in (*self.branches, self.commit):
                return Reply(404, {"error": f"Invalid rev id: {revision}"}, {"X-Error-Code": "RevisionNotFound"})
            return Reply(body=self._about(asked))
        if asked.path.startswith(file):
            return self._file(*asked.path.removeprefix(file).partition("/")[::2], asked=asked)
        return self._missing(401 if not asked.token else 404)

    def _about(self, asked: Asked) -> dict[str, Any]:
        return {
            "_id": "6123456789abcdef01234567",
            "id": self.repository,
            "modelId": self.repository,
            "author": self.repository.partition("/")[0],
            "sha": self.commit,
            "lastModified": "2026-10-01T09:00:00.000Z",
            "createdAt": "2026-09-01T09:00:00.000Z",
            "private": self.private,
            "gated": "manual" if self.gated else False,
            "disabled": False,
            "downloads": 7,
            "likes": 1,
            "tags": ["region:us"],
            "cardData": dict(self.card),
            "siblings": [self._sibling(name, content, asked) for name, content in self.files.items()],
        }

    def _sibling(self, name: str, content: bytes, asked: Asked) -> dict[str, Any]:
        if asked.query.get("blobs", "").lower() not in ("1", "true"):
            return {"rfilename": name}
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        plain = {"rfilename": name, "blobId": git, "size": len(content)}
        if len(content) <= self.small:
            return plain
        return {**plain, "lfs": {"sha256": sha256(content), "size": len(content), "pointerSize": 134}}

    def _file(self, revision: str, name: str, *, asked: Asked) -> Reply:
        if self.gated and asked.token not in self.members:
            return self._closed()
        if revision not in (*self.branches, self.commit) or name not in self.files:
            return Reply(404, b"Entry not found", {"X-Error-Code": "EntryNotFound"})
        content = self.files[name]
        return Reply(body=content, headers={"ETag": f'"{sha256(content)}"', "X-Repo-Commit": self.commit})

    def _closed(self) -> Reply:
        message = f"Access to model {self.repository} is restricted and you are not in the authorized list."
        return Reply(403, {"error": message}, {"X-Error-Code": "GatedRepo", "X-Error-Message": message})

    def _missing(self, status: int) -> Reply:
        """To somebody without a token, a missing repository looks like a private one."""
        headers = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"} if status == 404 else {}
        return Reply(status, {"error": "Invalid username or password."}, headers)


@dataclass
class ModelScope:
    """ModelScope with one repository. ``cut`` is where it leaves the rest of a list out."""

    files: Mapping[str, bytes]
    repository: str = "org/repo"
    revisions: tuple[str, ...] = ("master",)
    commit: str = COMMIT
    about: Mapping[str, Any] = field(default_factory=lambda: {"License": "Apache License 2.0"})
    members: tuple[str, ...] = ()
    """Tokens that may see it; none: everybody may."""
    cut: int = 3000

    def __call__(self, asked: Asked) -> Reply:
        base = f"/api/v1/models/{self.repository}"
        if not asked.path.startswith(base):
            return self._reply(10010205001, None, "获取模型信息失败，信息不存在", 404)
        if self.members and asked.token not in self.members:
            return self._reply(403, None, "权限不足", 403)
        if asked.path == base:
            return self._reply(200, {"Name": "repo", **self.about})
        if asked.path == f"{base}/repo/files":
            return self._reply(200, self._list(asked.query))
        if asked.path == f"{base}/repo" and asked.query.get("FilePath") in self.files:
            return Reply(body=self.files[asked.query["FilePath"]])
        return self._reply(404, None, "not found", 404)

    def _list(self, query: Mapping[str, str]) -> dict[str, Any]:
        if query.get("Revision") not in (*self.revisions, self.commit):
            return {"Files": None, "IsVisual": 0, "LatestCommitter": None}
        root = f"{query['Root']}/" if query.get("Root") else ""
        entries: dict[str, dict[str, Any]] = {}
        for name, content in sorted(self.files.items()):
            if not name.startswith(root):
                continue
            parts = name.removeprefix(root).split("/")
            for depth in range(1, len(parts)):
                folder = root + "/".join(parts[:depth])
                entries[folder] = {"Name": parts[depth - 1], "Path": folder, "Type": "tree", "Size": 0}
            entries[name] = self._entry(name, content)
        if query.get("Recursive", "").lower() != "true":
            entries = {name: entry for name, entry in entries.items() if "/" not in name.removeprefix(root)}
        listed = list(entries.values())[: self.cut]
        return {"Files": listed, "IsVisual": 0, "LatestCommitter": {"Id": "", "ShortId": self.commit[:8]}}

    def _entry(self, name: str, content: bytes) -> dict[str, Any]:
        return {
            "CommittedDate": 1_760_000_000,
            "InCheck": False,
            "IsLFS": len(content) > 32,
            "Mode": "33188",
            "Name": name.rpartition("/")[2],
            "Path": name,
            "Revision": self.commit,
            "Sha256": sha256(content),
            "Size": len(content),
            "Type": "blob",
        }

    def _reply(self, code: int, data: object, message: str = "success", status: int = 200) -> Reply:
        content = {"Code": code, "Data": data, "Message": message, "RequestId": "test", "Success": code == 200}
        return Reply(status, content)


@dataclass
class GitHub:
    """GitHub's API with one repository; each release is its assets by name, the last one the latest."""

    releases: Mapping[str, Mapping[str, bytes]]
    repository: str = "owner/repo"
    address: str = "https://github.com"
    licence: str = "MIT"
    digests: bool = True
    exhausted: bool = False

    def __call__(self, asked: Asked) -> Reply:
        base = f"/repos/{self.repository}"
        if self.exhausted:
            limits = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1764000000"}
            return Reply(403, {"message": "API rate limit exceeded"}, limits)
        if asked.path == base:
            return Reply(body={"full_name": self.repository, "license": {"key": "mit", "spdx_id": self.licence}})
        if asked.path == f"{base}/releases/latest" and self.releases:
            return Reply(body=self._release(list(self.releases)[-1]))
        tag = asked.path.removeprefix(f"{base}/releases/tags/")
        return Reply(body=self._release(tag)) if tag in self.releases else Reply(404, {"message": "Not Found"})

    def _release(self, tag: str) -> dict[str, Any]:
        return {
            "id": 1,
            "tag_name": tag,
            "draft": False,
            "prerelease": False,
            "assets": [self._asset(tag, name, content) for name, content in self.releases[tag].items()],
        }

    def _asset(self, tag: str, name: str, content: bytes) -> dict[str, Any]:
        return {
            "url": f"https://api.github.com/repos/{self.repository}/releases/assets/1",
            "id": 1,
            "name": name,
            "state": "uploaded",
            "content_type": "application/octet-stream",
            "size": len(content),
            "digest": f"sha256:{sha256(content)}" if self.digests else None,
            "browser_download_url": f"{self.address}/{self.repository}/releases/download/{tag}/{name}",
        }


@dataclass
class OllamaRegistry:
    """Ollama's registry with one model: its layers by the last word of their media type."""

    layers: Mapping[str, bytes]
    model: str = "library/tiny"
    tag: str = "latest"
    config: Mapping[str, Any] = field(default_factory=lambda: {"model_format": "gguf", "model_family": "llama"})

    def __call__(self, asked: Asked) -> Reply:
        base = f"/v2/{self.model}"
        if asked.path == f"{base}/manifests/{self.tag}":
            return Reply(body=self.manifest())
        blobs = {f"{base}/blobs/sha256:{sha256(content)}": content for content in self._blobs()}
        if asked.path in blobs:
            return Reply(body=blobs[asked.path])
        return Reply(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})

    def manifest(self) -> dict[str, Any]:
        """The manifest of the model."""
        config = json.dumps(dict(self.config)).encode()
        return {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": _described("application/vnd.docker.container.image.v1+json", config),
            "layers": [
                _described(f"application/vnd.ollama.image.{kind}", content) for kind, content in self.layers.items()
            ],
        }

    def _blobs(self) -> list[bytes]:
        return [*self.layers.values(), json.dumps(dict(self.config)).encode()]


def _described(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{sha256(content)}", "size": len(content)}


def _ranged(reply: Reply, asked: Asked) -> Reply:
    """A part of a whole file, where one was asked for."""
    span = asked.headers.get("range", "").removeprefix("bytes=")
    if reply.status != 200 or not isinstance(reply.body, bytes) or not span or "," in span:
        return reply
    first, _dash, last = span.partition("-")
    size = len(reply.body)
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size:
        return Reply(416, b"", {"Content-Range": f"bytes */{size}"})
    return Reply(206, reply.body[start:end], {**reply.headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"})


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body, ensure_ascii=False).encode()
    try:
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if not isinstance(reply.body, bytes):
            handler.send_header("Content-Type", "application/json; charset=utf-8")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    except ConnectionError:  # who asked has read enough
        handler.close_connection = True
