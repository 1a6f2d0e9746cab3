"""What other tools leave on a disk, written by the layouts that docs/other_tools.md gives with their sources."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

COMMIT = "4e7de1b0a1ef5a4d3b1c2d3e4f5a6b7c8d9e0f12"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def hub_repo(
    cache: Path, repo: str, contents: dict[str, bytes], *, commit: str = COMMIT, ref: str | None = "main"
) -> Path:
    """A repository in the cache of Hugging Face's tools; files over 200 bytes are “large”: named by their SHA-256."""
    place = cache / f"models--{repo.replace('/', '--')}"
    (place / "blobs").mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        blob = place / "blobs" / (sha256(content) if len(content) > 200 else git_sha1(content))
        blob.write_bytes(content)
        link = place / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    if ref:
        (place / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (place / "refs" / ref).write_text(commit)
    return place


def ollama_model(
    models: Path,
    name: str,
    content: bytes,
    *,
    tag: str = "latest",
    namespace: str = "library",
    host: str = "registry.ollama.ai",
    media: str = "application/vnd.ollama.image.model",
) -> Path:
    """A model as ``ollama pull`` leaves it: blobs, and a manifest that names them; the model's blob."""
    layers = [_layer(models, content, media), _layer(models, b"{{ .Prompt }}", "application/vnd.ollama.image.template")]
    config = _layer(models, b'{"model_format":"gguf"}', "application/vnd.docker.container.image.v1+json")
    manifest = models / "manifests" / host / namespace / name / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": config,
                "layers": layers,
            }
        )
    )
    return models / "blobs" / f"sha256-{sha256(content)}"


def _layer(models: Path, content: bytes, media: str) -> dict[str, object]:
    blob = models / "blobs" / f"sha256-{sha256(content)}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    return {"mediaType": media, "digest": f"sha256:{sha256(content)}", "size": len(content)}


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def everything(folder: Path) -> dict[str, tuple[object, ...]]:
    """Each name below a folder with what would tell that it was touched."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: object = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, status.st_ino, content)
    return found
