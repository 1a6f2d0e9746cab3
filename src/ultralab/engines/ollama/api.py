"""Ollama's HTTP API as far as models are made, loaded and let go with it; one function a request.

Source: ollama ``docs/api.md`` (version 0.33). Every function raises EngineFailed; its data has ``status`` where Ollama
answered with one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ultralab.engines.clients import answers, ollama_dialect
from ultralab.kernel.errors import EngineFailed
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

if TYPE_CHECKING:
    import httpx

OLDEST: Final = (0, 5, 5)
"""Before it, ``/api/create`` takes no ``files`` and ``parameters`` (``api/types.go`` of 0.5.4 and 0.5.5)."""

_FOREVER: Final = 10 * 365 * 86_400.0  # what Ollama says of a model that stays: centuries
_QUICK: Final = 15.0  # seconds for what needs no thinking


@dataclass(frozen=True)
class Running:
    """A model in Ollama's memory: bytes (all, and those on the GPU), and when it goes, seconds since the epoch."""

    name: str
    size: int
    on_gpu: int
    expires: float


def version(client: httpx.Client, timeout: float = _QUICK) -> str:
    """What Ollama calls its version, ``0.33.0``. EngineFailed also where something else answers at its address."""
    with answers.explained("/api/version"):
        try:
            answer = client.get("/api/version", timeout=timeout)
            found = answers.object_of(answer)["version"]
        except (EngineFailed, KeyError, TypeError, ValueError) as error:
            raise EngineFailed(_("What answers at {address} is not Ollama.").format(address=client.base_url)) from error
        return printable(str(found), 60)


def is_too_old(found: str) -> bool:
    """Whether a version cannot do what is needed; one that is no release (a build of the source) is believed able."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", found)
    return numbers is not None and (0, 0, 0) < tuple(int(one) for one in numbers.groups()) < OLDEST


def names(client: httpx.Client) -> list[str]:
    """The models that Ollama has."""
    with answers.explained("/api/tags"):
        found = answers.object_of(client.get("/api/tags", timeout=_QUICK))["models"]
        return [str(one["name"]) for one in found or ()]


def running(client: httpx.Client) -> list[Running]:
    """The models in Ollama's memory."""
    with answers.explained("/api/ps"):
        found = answers.object_of(client.get("/api/ps", timeout=_QUICK))["models"]
        return [
            Running(
                str(one["name"]),
                answers.count(one, "size"),
                answers.count(one, "size_vram"),
                _moment(str(one.get("expires_at") or "")),
            )
            for one in found or ()
        ]


def show(client: httpx.Client, model: str) -> dict[str, Any]:
    """What Ollama knows of a model."""
    with answers.explained("/api/show"):
        return answers.object_of(client.post("/api/show", json={"model": model}, timeout=60))


def has_blob(client: httpx.Client, digest: str) -> bool:
    """Whether Ollama's store has these bytes; ``digest`` is the SHA-256 in hexadecimal."""
    with answers.explained("/api/blobs"):
        answer = client.head(f"/api/blobs/sha256:{digest}", timeout=_QUICK)
        if answer.status_code not in (200, 404):
            answers.require_success(answer)
        return answer.status_code == 200


def create(client: httpx.Client, model: str, source: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Make a model of another one (``from``) or of bytes in the store (``files``), to be loaded with these parameters."""
    body = {"model": model, **source, "parameters": dict(parameters), "stream": False}
    with answers.explained("/api/create"):
        status = answers.object_of(client.post("/api/create", json=body)).get("status")
        if status != "success":
            raise EngineFailed(
                _("Ollama did not make the model: {status}").format(status=printable(str(status))),
                hint=_("Its log says more: https://docs.ollama.com/troubleshooting tells where it is."),
            )


def load(client: httpx.Client, model: str, *, embeddings: bool) -> None:
    """Bring a model into memory."""
    body: dict[str, Any] = {"model": model, "keep_alive": ollama_dialect.KEEP_ALIVE}
    path = "/api/embed" if embeddings else "/api/generate"
    more: dict[str, Any] = {"input": []} if embeddings else {"stream": False, "shift": False}
    with answers.explained(path):
        answers.object_of(client.post(path, json=body | more))


def keep(client: httpx.Client, model: str, seconds: float) -> None:
    """Let a model stay in memory for so long from now; 0 unloads it at once, a lifetime or more means for good."""
    body = {"model": model, "keep_alive": -1 if seconds > _FOREVER else max(0, int(seconds)), "stream": False}
    with answers.explained("/api/generate"):
        answers.object_of(client.post("/api/generate", json=body, timeout=60))


def delete(client: httpx.Client, model: str) -> None:
    """Take a model away; its bytes go with the last model that names them. One that is not there is no error."""
    with answers.explained("/api/delete"):
        answer = client.request("DELETE", "/api/delete", json={"model": model}, timeout=60)
        if answer.status_code != 404:
            answers.require_success(answer)


def _moment(text: str) -> float:
    """Seconds since the epoch of Go's RFC 3339 with nanoseconds. Raises ValueError."""
    found = re.fullmatch(r"(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if found is None:
        return 0.0
    moment = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() + float(found[2] or 0)
