"""What llama.cpp downloaded by itself (``-hf``, ``-mu``).

Until spring 2026 it kept ``<org>_<repo>_<file>`` with ``<file>.etag`` (before: ``<file>.json``) and
``manifest=<org>=<repo>=<tag>.json`` beside it in a folder of its own; since then it shares the cache of Hugging Face's
tools, or has one of the same shape where ``LLAMA_CACHE`` is set (llama.cpp: common/download.cpp, common/hf-cache.cpp).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.models.neighbours.base import HeldFile, Holding, Layout, Link
from ultralab.models.neighbours.huggingface import HUGGING_FACE, caches_folder, local_name
from ultralab.models.neighbours.sorting import models_among
from ultralab.models.neighbours.walk import Passed, listed, regular_files, small_json, small_text
from ultralab.models.types import ModelRecord
from ultralab.system import environ

_SHELF: Final = "ultralab"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MANIFEST: Final = re.compile(r"manifest=([\w.-]+)=([\w.-]+)=[^=]*\.json", re.ASCII)
_RESOLVE: Final = re.compile(r"https?://[^/]+/([\w.-]+/[\w.-]+)/resolve/([^/]+)/([^?#]+)", re.ASCII)


class LlamaCpp:
    """``~/Library/Caches/llama.cpp`` or ``~/.cache/llama.cpp``; ``LLAMA_CACHE`` names another place."""

    name = "llamacpp"
    title = "llama.cpp"
    follows_links = True

    def folders(self, home: Path) -> tuple[Path, ...]:
        """The one cache of its own that is in use."""
        if chosen := environ.read("LLAMA_CACHE"):
            return (Path(chosen).expanduser(),)
        return (caches_folder(home) / "llama.cpp",)

    def holdings(self, folder: Path) -> Iterator[Holding]:
        """The GGUF files of the old kind, and the repositories of the new."""
        entries, problem = listed(folder)
        if problem:
            yield Holding(self.name, folder.name, folder, problem=problem)
        repositories = [tuple(match.groups()) for path in entries if (match := _MANIFEST.fullmatch(path.name))]
        flat: dict[str, list[HeldFile]] = {}
        for item in regular_files(folder, deepest=1):
            if isinstance(item, Passed):
                if item.path.is_file() or not item.path.is_dir():
                    yield Holding(self.name, item.path.name, item.path, problem=item.reason)
            elif item.name.lower().endswith(".gguf"):
                source, name = _origin(folder / item.name, repositories)
                flat.setdefault(source, []).append(HeldFile(name, item.path, item.size, _claim(folder / item.name)))
        for source, files in flat.items():
            yield from models_among(Holding(self.name, folder.name, folder, source), files)
        for path in entries:
            if path.name.startswith("models--"):
                yield from HUGGING_FACE.repository(path, folder, self.name)

    def layout(self, folder: Path, record: ModelRecord, files: Mapping[str, Path]) -> Layout:
        """A folder of links for ``llama-server --models-dir``, one folder per model (its README: “Using multiple models”).

        Links by name: llama.cpp opens what they lead to, and deletes nothing there.
        """
        if record.format != "gguf":
            raise Unsupported(
                _("llama.cpp takes GGUF files; {ref} is in the format {format}.").format(
                    ref=record.ref, format=record.format
                ),
                hint=_("Convert it first: ultralab models convert {ref} --to gguf").format(ref=record.ref),
                ref=record.ref,
            )
        shelf = folder / _SHELF
        place = shelf / local_name(record)
        steps = tuple(Link(place / file.name, files[file.name], "symlink") for file in record.files)
        first = place / (record.entry or min(file.name for file in record.files))
        return Layout(
            steps,
            _("llama-server --models-dir {shelf}, or: llama-server -m {file}").format(
                shelf=shlex.quote(str(shelf)), file=shlex.quote(str(first))
            ),
        )


def _origin(path: Path, repositories: list[tuple[str, ...]]) -> tuple[str, str]:
    """Where a file of the old kind came from, and what it was called there."""
    record = small_json(path.with_name(f"{path.name}.json"))
    url = record.get("url") if isinstance(record, dict) else None
    if isinstance(url, str) and (match := _RESOLVE.fullmatch(url)):
        name = unquote(match[3]).rpartition("/")[2]
        return (f"hf:{match[1]}" if match[2] == "main" else f"hf:{match[1]}@{match[2]}"), name
    for org, repo in repositories:
        if path.name.startswith(f"{org}_{repo}_"):
            return f"hf:{org}/{repo}", path.name.removeprefix(f"{org}_{repo}_")
    return "", path.name


def _claim(path: Path) -> str:
    """The ETag that was noted, where that is a SHA-256: the hub's is, for large files."""
    tag = small_text(path.with_name(f"{path.name}.etag"), most=500)
    if not tag:
        record = small_json(path.with_name(f"{path.name}.json"))
        noted = record.get("etag") if isinstance(record, dict) else None
        tag = noted if isinstance(noted, str) else ""
    tag = tag.strip().strip('"').lower()
    return tag if _SHA256.fullmatch(tag) else ""


LLAMA_CPP: Final = LlamaCpp()
