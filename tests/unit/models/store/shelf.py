"""Small models put into a library for tests of the store: real files, real links, no format."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from ultralab.models.catalog.index import load
from ultralab.models.publish import publish
from ultralab.models.store.layout import Library
from ultralab.models.store.volumes import Volume, prepare
from ultralab.models.types import ModelFile, ModelRecord, Staged

LONG_AGO = 1_700_000_000


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def record_of(name: str, contents: Mapping[str, bytes]) -> ModelRecord:
    files = tuple(ModelFile(file, len(content), sha(content)) for file, content in contents.items())
    return ModelRecord(
        name=name, variant="q4_0", family="tiny", source=f"path:/models/{name}", title=name, format="gguf", architecture="llama", parameters=1, quantization="Q4_0",
        bits_per_weight=4.5, context=128, licence="mit", source_url="", added="2026-11-23T00:00:00+00:00",
        added_by="me", files=files,
    )  # fmt: skip


def stage(folder: Path, name: str, content: bytes, *, kept: bool = False) -> Staged:
    path = folder / f"{name.replace('/', '-')}.ready"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Staged(path, name, len(content), sha(content), kept)


def put(
    library: Library, name: str, contents: Mapping[str, bytes], volume: Volume | None = None, *, replace: bool = False
) -> ModelRecord:
    """A model of these files, published on a volume (default: the lab's own)."""
    folder = (volume or library.store).partial
    staged = [stage(folder, file, content) for file, content in contents.items()]
    known = load(library.catalog, library.metadata)
    return publish(library, staged, record_of(name, contents), known, replace=replace)


def adopt(library: Library, name: str, folder: Path, contents: Mapping[str, bytes]) -> ModelRecord:
    """A model whose files are another tool's."""
    staged = [stage(folder, file, content, kept=True) for file, content in contents.items()]
    return publish(library, staged, record_of(name, contents), load(library.catalog, library.metadata), replace=False)


def with_volumes(tmp_path: Path, *names: str) -> Library:
    """A library with prepared volumes, each a folder of its own."""
    home = tmp_path / "lab 实验室"
    roots = {name: tmp_path / f"disk {name} 🚀" for name in names}
    for root in roots.values():
        root.mkdir()
    return Library(home, tuple(prepare(root, name, home) for name, root in roots.items()))


def unplug(volume: Volume) -> Path:
    """Pull the disk out: its folder is not there. Where it went."""
    away = volume.root.with_name(f"{volume.root.name} (pulled out)")
    volume.root.rename(away)
    return away


def listing(folder: Path) -> list[str]:
    """Every file and link under a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def age(*paths: Path) -> None:
    """Make files old: the times of a moment ago are not trusted."""
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO + 0.123456))
