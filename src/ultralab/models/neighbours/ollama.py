"""Ollama's models: a manifest per name, which lists layers; each layer is a blob, called by its SHA-256.

Facts from Ollama's own source: manifest/paths.go, manifest/manifest.go, types/model/name.go, types/model/config.go.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.units import format_count
from ultralab.models.neighbours.base import HeldFile, Holding, Layout, Link, Text
from ultralab.models.neighbours.walk import MOST_ENTRIES, Passed, listed, real_file, small_json
from ultralab.models.types import ModelRecord
from ultralab.system import environ

REGISTRY: Final = "registry.ollama.ai"
NAMESPACE: Final = "ultralab"
MODEL: Final = "application/vnd.ollama.image.model"
TENSOR: Final = "application/vnd.ollama.image.tensor"
CONFIG: Final = "application/vnd.docker.container.image.v1+json"
MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"

_DIGEST: Final = re.compile(r"sha256[:-]([0-9a-f]{64})", re.IGNORECASE)
_PART: Final = re.compile(r"\w[\w.:-]{0,349}", re.ASCII)
_TAG: Final = re.compile(r"\w[\w.-]{0,79}", re.ASCII)


class Ollama:
    """``~/.ollama/models``; ``OLLAMA_MODELS`` names another place."""

    name = "ollama"
    title = "Ollama"
    follows_links = True

    def folders(self, home: Path) -> tuple[Path, ...]:
        """The user's own; on Linux the service's too, where the installer made one."""
        if chosen := environ.read("OLLAMA_MODELS"):
            return (Path(chosen).expanduser(),)
        return (home / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models"))

    def holdings(self, folder: Path) -> Iterator[Holding]:
        """One per manifest with a GGUF layer."""
        level = [folder / "manifests"]
        been: set[Path] = set()
        for _depth in range(4):
            deeper: list[Path] = []
            for place in level:
                real = Path(os.path.realpath(place))
                if real in been or not real.is_dir():
                    continue
                been.add(real)
                entries, problem = listed(place)
                deeper += entries
                if problem:
                    yield Holding(self.name, place.name, place, problem=problem)
            level = deeper
        for manifest in level[:MOST_ENTRIES]:
            if not manifest.is_dir():
                yield self._read(folder, manifest)

    def layout(self, folder: Path, record: ModelRecord, files: Mapping[str, Path]) -> Layout:
        """Blob, config, manifest: in this order, so that no manifest names a blob that is not there.

        No template: a recent Ollama takes the one in the GGUF. The blob is a hard link where that can be: Ollama's
        service may run as another user, who cannot enter a home folder that a link by name leads through.
        """
        self._require(record)
        tag = f"{NAMESPACE}/{record.name}:{record.variant}"
        config = _json(_config(record))
        config_digest = hashlib.sha256(config.encode()).hexdigest()
        only = record.files[0]
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": f"sha256:{config_digest}", "size": len(config.encode())},
                "layers": [{"mediaType": MODEL, "digest": f"sha256:{only.sha256}", "size": only.size}],
            }
        )
        place = folder / "manifests" / REGISTRY / NAMESPACE / record.name / record.variant
        return Layout(
            (
                Link(folder / "blobs" / f"sha256-{only.sha256}", files[only.name], "hardlink", by_hash=True),
                Text(folder / "blobs" / f"sha256-{config_digest}", config),
                Text(place, manifest),
            ),
            f"ollama run {tag}",
        )

    def _require(self, record: ModelRecord) -> None:
        if record.format != "gguf":
            raise Unsupported(
                _("Ollama takes GGUF files; {ref} is in the format {format}.").format(
                    ref=record.ref, format=record.format
                ),
                hint=_("Convert it first: ultralab models convert {ref} --to gguf").format(ref=record.ref),
                ref=record.ref,
            )
        if len(record.files) != 1:
            raise Unsupported(
                _("Ollama takes one file; {ref} is split into {count}.").format(
                    ref=record.ref, count=len(record.files)
                ),
                hint=_("Merge the parts with llama.cpp: llama-gguf-split --merge FIRST-PART OUTPUT"),
                ref=record.ref,
            )
        if not (_TAG.fullmatch(record.name) and _TAG.fullmatch(record.variant)):
            raise Unsupported(
                _("{ref} is too long a name for Ollama (80 characters).").format(ref=record.ref),
                hint=_("Add the model under a shorter name (--name)."),
                ref=record.ref,
            )

    def _read(self, folder: Path, manifest: Path) -> Holding:
        parts = manifest.relative_to(folder / "manifests").parts
        if not all(_PART.fullmatch(part) for part in parts):
            return Holding(self.name, manifest.name, manifest, problem=_("Its name is not a model's."))
        name, tag = parts[2], parts[3]
        label = name if tag == "latest" else f"{name}-{tag}"

        def problem(reason: str) -> Holding:
            return Holding(self.name, label, manifest, problem=reason)

        layers = _layers(small_json(manifest))
        if layers is None:
            return problem(_("It is not a manifest that can be read."))
        found = [layer for layer in layers if layer[0] == MODEL]
        if len(found) != 1:
            stored = any(layer[0].startswith(TENSOR) for layer in layers)
            return problem(
                _("It is stored tensor by tensor, which only Ollama reads.")
                if stored
                else _("It names no model file, or several.")
            )
        _media, digest, size = found[0]
        blob = real_file(folder / "blobs" / f"sha256-{digest}")
        if isinstance(blob, Passed):
            return problem(_("Its blob is missing: {reason}").format(reason=blob.reason))
        if blob.size != size:
            return problem(_("Its blob has {size} bytes instead of {expected}.").format(size=blob.size, expected=size))
        held = HeldFile(f"{label.replace(':', '-')}.gguf", blob.path, blob.size, digest)
        return Holding(self.name, held.name, blob.path, _reference(parts), digest, (held,))


def _layers(value: Any) -> list[tuple[str, str, int]] | None:
    """Media type, digest and size of each layer; None where anything is not what it should be."""
    if not isinstance(value, dict) or not isinstance(value.get("layers"), list):
        return None
    layers = []
    for layer in value["layers"]:
        if not isinstance(layer, dict):
            return None
        media, digest, size = layer.get("mediaType"), layer.get("digest"), layer.get("size")
        if not isinstance(media, str) or not isinstance(digest, str) or type(size) is not int or size < 0:
            return None
        match = _DIGEST.fullmatch(digest)
        if match is None:
            return None
        layers.append((media, match[1].lower(), size))
    return layers


def _reference(parts: tuple[str, ...]) -> str:
    host, namespace, name, tag = parts
    if host == REGISTRY:
        owner = "" if namespace == "library" else f"{namespace}/"
        return f"ollama:{owner}{name}:{tag}"
    if host in ("hf.co", "huggingface.co"):
        return f"hf:{namespace}/{name}" if tag == "latest" else f"hf:{namespace}/{name}:{tag}"
    return f"https://{host}/{namespace}/{name}:{tag}"


def _config(record: ModelRecord) -> dict[str, object]:
    """The fields of Ollama's ``ConfigV2``; sizes and types are for its lists only."""
    return {
        "model_format": "gguf",
        "model_family": record.architecture,
        "model_families": [record.architecture],
        "model_type": format_count(record.parameters),
        "file_type": record.quantization,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{record.files[0].sha256}"]},
    }


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


OLLAMA: Final = Ollama()
