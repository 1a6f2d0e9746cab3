"""Ollama's registry: ``ollama:name[:tag]``, ``ollama:user/name[:tag]``.

It speaks a part of the OCI distribution protocol: ``GET /v2/<user>/<name>/manifests/<tag>`` (user ``library`` for Ollama's
own) lists layers with ``mediaType``, ``digest`` and ``size``; ``GET /v2/<user>/<name>/blobs/<digest>`` gives one. The
weights are the layer ``application/vnd.ollama.image.model``: a GGUF file (Ollama's ``server/images.go``, ``manifest.go``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ultralab.kernel.errors import NotFound, RequestError, UltralabError, Unsupported
from ultralab.kernel.language import _
from ultralab.models.sources import answers, trust
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.models.sources.references import endpoints, first_reached

DEFAULT: Final = "https://registry.ollama.ai"
REALM: Final = "ollama"
FORM: Final = "ollama:name[:tag]"

_PART: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?"
_REFERENCE: Final = re.compile(rf"(?:(?P<user>{_PART})/)?(?P<name>{_PART})(?::(?P<tag>{_PART}))?")
_MANIFEST: Final = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
_LAYER: Final = "application/vnd.ollama.image."
_MOST_LAYERS: Final = 1000
_MOST_SMALL: Final = 256 * 1024
_DIGEST: Final = re.compile(r"sha256[:-]([0-9a-f]{64})")


@dataclass(frozen=True)
class _Wanted:
    user: str
    name: str
    tag: str

    @property
    def ref(self) -> str:
        user = "" if self.user == "library" else f"{self.user}/"
        return f"ollama:{user}{self.name}:{self.tag}"

    @property
    def path(self) -> str:
        return f"v2/{self.user}/{self.name}"


@dataclass(frozen=True)
class _Layer:
    kind: str
    sha256: str
    size: int


class OllamaSource:
    """Models of Ollama's registry, as their GGUF files."""

    scheme = "ollama"

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """Ask for the manifest, and for the small layers that describe the model."""
        wanted = _parse(rest)
        addresses = endpoints(access, REALM, DEFAULT)
        endpoint, (manifest, version) = first_reached(addresses, lambda address: _manifest(address, wanted))
        layers = _layers(manifest, wanted)
        _require_gguf(manifest, layers, endpoint, wanted)
        mirrors = tuple(address for address in addresses if address != endpoint)
        found = [
            *_files(layers, "model", f"{wanted.name}-{wanted.tag}", wanted, (endpoint, *mirrors)),
            *_files(layers, "projector", f"mmproj-{wanted.name}-{wanted.tag}", wanted, (endpoint, *mirrors)),
        ]
        page = wanted.name if wanted.user == "library" else f"{wanted.user}/{wanted.name}"
        return Resolution(
            ref=wanted.ref,
            name=wanted.name,
            version=version,
            licence=_licence(layers, endpoint, wanted),
            homepage=f"https://ollama.com/{'library/' if page == wanted.name else ''}{page}",
            files=trust.require_distinct(found, wanted.ref),
        )


SOURCE: Final = OllamaSource()


def _parse(rest: str) -> _Wanted:
    match = _REFERENCE.fullmatch(rest)
    if match is None or ".." in rest:
        raise RequestError(
            _("{ref!r} is no model of Ollama's registry.").format(ref=f"ollama:{rest}"[:500]),
            hint=_("Write it as {form}.").format(form=FORM),
            ref=f"ollama:{rest}"[:500],
        )
    return _Wanted(match["user"] or "library", match["name"], match["tag"] or "latest")


def _manifest(endpoint: str, wanted: _Wanted) -> tuple[dict[str, Any], str]:
    """The manifest and its own SHA-256, which Ollama calls the model's id."""
    url = f"{endpoint}/{wanted.path}/manifests/{wanted.tag}"
    answer = answers.ask(url, headers=_MANIFEST)
    if answer.status == 404:
        raise NotFound(
            _("Ollama's registry has no model {ref}.").format(ref=wanted.ref),
            hint=_("Look at its names and tags: {page}").format(page="https://ollama.com/library"),
            ref=wanted.ref,
        )
    if answer.status in (401, 403):
        raise RequestError(
            _("Ollama's registry does not give {ref} to everybody ({status}).").format(
                ref=wanted.ref, status=answer.status
            ),
            hint=_("Pull it with Ollama itself, then: ultralab models adopt"),
            ref=wanted.ref,
            status=answer.status,
        )
    if answer.status != 200:
        raise answers.failed(url, answer.status)
    return answers.read_object(answer.body, url), hashlib.sha256(answer.body).hexdigest()


def _layers(manifest: Mapping[str, Any], wanted: _Wanted) -> list[_Layer]:
    listed = trust.listing(manifest.get("layers"), wanted.ref)
    if len(listed) > _MOST_LAYERS:
        raise trust.refused(wanted.ref, _("it lists more than {most} files").format(most=_MOST_LAYERS))
    return [_layer(entry, wanted) for entry in listed]


def _layer(entry: object, wanted: _Wanted) -> _Layer:
    if not isinstance(entry, dict) or not isinstance(entry.get("mediaType"), str):
        raise trust.refused(wanted.ref, _("its list of files is none"))
    kind = entry["mediaType"].partition(";")[0].removeprefix(_LAYER)
    label = trust.shown(kind)
    match = _DIGEST.fullmatch(entry["digest"]) if isinstance(entry.get("digest"), str) else None
    if match is None:
        raise trust.refused(
            wanted.ref,
            _("its file {name} has a SHA-256 that is none: {digest}").format(
                name=label, digest=trust.shown(entry.get("digest"))
            ),
        )
    size = trust.size(entry.get("size", -1), label, wanted.ref)
    return _Layer(kind, match[1], size if size is not None else 0)


def _require_gguf(manifest: Mapping[str, Any], layers: Sequence[_Layer], endpoint: str, wanted: _Wanted) -> None:
    """Raise Unsupported for what cannot be run from a GGUF file alone."""
    kinds = {layer.kind for layer in layers}
    config = manifest.get("config")
    about: dict[str, Any] = {}
    if isinstance(config, dict):
        layer = _layer({**config, "mediaType": str(config.get("mediaType", ""))}, wanted)
        about = answers.read_object(_small(layer, endpoint, wanted), f"{endpoint}/{wanted.path}")
    form = answers.text(about.get("model_format"))
    if "model" not in kinds or form not in ("", "gguf"):
        raise Unsupported(
            _("{ref} holds no GGUF file (its format: {format}).").format(ref=wanted.ref, format=form or "-"),
            hint=_("It runs in Ollama's cloud or in Ollama only. Choose another tag, or take it from hf:…"),
            ref=wanted.ref,
        )
    if "adapter" in kinds:
        raise Unsupported(
            _("{ref} is an adapter on top of a model: that cannot be taken apart from Ollama.").format(ref=wanted.ref),
            hint=_("Take the model that it was made from, or a merged one."),
            ref=wanted.ref,
        )


def _small(layer: _Layer, endpoint: str, wanted: _Wanted) -> bytes:
    """A small layer's bytes, checked against its digest."""
    url = f"{endpoint}/{wanted.path}/blobs/sha256:{layer.sha256}"
    answer = answers.ask(url)
    if answer.status != 200:
        raise answers.failed(url, answer.status)
    if hashlib.sha256(answer.body).hexdigest() != layer.sha256:
        raise trust.refused(
            wanted.ref, _("its file {name} has not the promised SHA-256").format(name=trust.shown(layer.kind))
        )
    return answer.body


def _licence(layers: Sequence[_Layer], endpoint: str, wanted: _Wanted) -> str:
    """The first line of the licence; empty where there is none, or none that can be had now."""
    layer = next((layer for layer in layers if layer.kind == "license" and layer.size <= _MOST_SMALL), None)
    try:
        return answers.text(_small(layer, endpoint, wanted).decode(errors="replace")) if layer else ""
    except UltralabError:
        return ""


def _files(
    layers: Sequence[_Layer], kind: str, name: str, wanted: _Wanted, addresses: Sequence[str]
) -> list[RemoteFile]:
    found = [layer for layer in layers if layer.kind == kind]
    many = len(found) > 1
    paths = [f"{wanted.path}/blobs/sha256:{layer.sha256}" for layer in found]
    return [
        RemoteFile(
            name=trust.safe_name(
                f"{name}-{number:05d}-of-{len(found):05d}.gguf" if many else f"{name}.gguf", wanted.ref
            ),
            url=f"{addresses[0]}/{path}",
            size=layer.size,
            sha256=layer.sha256,
            mirrors=tuple(f"{address}/{path}" for address in addresses[1:]),
        )
        for number, (layer, path) in enumerate(zip(found, paths, strict=True), 1)
    ]
