"""The cache of Hugging Face's tools: blobs by hash, snapshots of links to them, refs that name a snapshot.

The layout is the one of huggingface_hub's guide “Understand caching”; a blob is called by its ETag, which is the SHA-256
of large files and a git object's SHA-1 of small ones.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ultralab.kernel.language import _
from ultralab.models.neighbours.base import HeldFile, Holding, Layout, Link, Text
from ultralab.models.neighbours.sorting import models_among
from ultralab.models.neighbours.walk import Passed, listed, regular_files, small_text
from ultralab.models.types import ModelRecord
from ultralab.system import environ

_PREFIX: Final = "models--"
_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAIN: Final = "main"


class HuggingFace:
    """``~/.cache/huggingface/hub``, on macOS too; ``HF_HUB_CACHE`` and ``HF_HOME`` name another place."""

    name = "hf"
    title = "Hugging Face"
    # huggingface_hub before 2 deletes what a cached name leads to, not the name: a link out of the cache is a danger
    follows_links = False

    def folders(self, home: Path) -> tuple[Path, ...]:
        """The one cache that is in use."""
        if cache := environ.read("HF_HUB_CACHE"):
            return (Path(cache).expanduser(),)
        if hub := environ.read("HF_HOME"):
            return (Path(hub).expanduser() / "hub",)
        return (home / ".cache" / "huggingface" / "hub",)

    def holdings(self, folder: Path) -> Iterator[Holding]:
        """Every snapshot of every model's repository; the same files under two commits are told once."""
        entries, problem = listed(folder)
        if problem:
            yield Holding(self.name, folder.name, folder, problem=problem)
        for path in entries:
            if path.name.startswith(_PREFIX):
                yield from self.repository(path, folder)

    def repository(self, path: Path, cache: Path, tool: str = "") -> Iterator[Holding]:
        """The snapshots of one repository of a cache, those that a ref names first."""
        tool = tool or self.name
        repo = path.name.removeprefix(_PREFIX).replace("--", "/")
        if not _REPO.fullmatch(repo):
            yield Holding(tool, path.name, path, problem=_("Its name is not a repository's."))
            return
        refs = _refs(path / "refs")
        snapshots, problem = listed(path / "snapshots")
        if problem:
            yield Holding(tool, repo, path, problem=problem)
        known: set[frozenset[tuple[str, Path]]] = set()
        for snapshot in sorted(snapshots, key=lambda found: (refs.get(found.name) != _MAIN, found.name not in refs)):
            if not _COMMIT.fullmatch(snapshot.name):
                yield Holding(tool, repo, snapshot, problem=_("Its name is not a commit's."))
                continue
            ref = refs.get(snapshot.name, snapshot.name)
            source = f"hf:{repo}" if ref == _MAIN else f"hf:{repo}@{ref}"
            whole = Holding(tool, repo.rpartition("/")[2], snapshot, source, snapshot.name)
            for holding in _models(whole, cache):
                same = frozenset((file.name, file.path) for file in holding.files)
                if holding.problem or same not in known:
                    yield holding
                known.add(same)

    def layout(self, folder: Path, record: ModelRecord, files: Mapping[str, Path]) -> Layout:
        """Blobs, a snapshot of links to them, and a ref. A model of the hub appears as what it is there.

        Blobs are hard links where that can be: see ``follows_links``. Where they cannot, the model gets a repository of
        its own: with a single revision, which even older tools delete by its names alone.
        """
        repo, commit, main = identity(record, ours=not _on_one_disk(folder, files))
        place = folder / f"{_PREFIX}{repo.replace('/', '--')}"
        steps: list[Link | Text] = []
        for file in record.files:
            blob = place / "blobs" / file.sha256
            steps.append(Link(blob, files[file.name], "hardlink", by_hash=True))
            name = place / "snapshots" / commit / file.name
            steps.append(Link(name, Path(*[".."] * (len(Path(file.name).parts) + 1), "blobs", file.sha256), "symlink"))
        if main:  # last: it must never name a snapshot that is not there
            steps.append(Text(place / "refs" / _MAIN, commit, optional=True))
        return Layout(
            tuple(steps),
            _(
                "In Python: huggingface_hub.snapshot_download({repo!r}, revision={commit!r}, local_files_only=True)"
            ).format(repo=repo, commit=commit),
        )


def identity(record: ModelRecord, *, ours: bool = False) -> tuple[str, str, bool]:
    """Repository, commit, and whether ``main`` stands for it: the hub's own where the model is from there.

    A model from elsewhere (or any, if ``ours``) is ``ultralab/<name>-<variant>``, its “commit” the beginning of its hash.
    """
    scheme, _colon, rest = record.source.partition(":")
    repo, at, _ref = rest.partition(":")[0].partition("@")
    if (
        not ours
        and scheme == "hf"
        and _REPO.fullmatch(repo)
        and _COMMIT.fullmatch(record.revision)
        and record.derived is None
    ):
        return repo, record.revision, not at
    return f"ultralab/{local_name(record)}", record.sha256[:40], True


def _on_one_disk(folder: Path, files: Mapping[str, Path]) -> bool:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return {path.stat().st_dev for path in files.values()} == {existing.stat().st_dev}


def local_name(record: ModelRecord) -> str:
    """A name that every tool takes: no ``--`` and ``..`` (the hub's rule), at most 90 characters."""
    plain = re.sub(r"\.{2,}", ".", re.sub(r"-{2,}", "-", f"{record.name}-{record.variant}"))
    return plain[:90].strip("-.")


def _refs(folder: Path) -> dict[str, str]:
    """The refs by the commit that each names; ``main`` wins over others."""
    found: dict[str, str] = {}
    for item in regular_files(folder, deepest=4):
        if isinstance(item, Passed):
            continue
        commit = small_text(item.path, most=200).strip()
        if _COMMIT.fullmatch(commit) and found.get(commit) != _MAIN:
            found[commit] = item.name
    return found


def _models(whole: Holding, cache: Path) -> Iterator[Holding]:
    inside = cache.resolve(), whole.where.parent.parent.resolve()  # a repository may lie on another disk, by a link
    files: list[HeldFile] = []
    for item in regular_files(whole.where):
        if isinstance(item, Passed):
            yield Holding(whole.tool, whole.name, item.path, problem=item.reason)
        elif not any(item.path.is_relative_to(place) for place in inside):
            yield Holding(whole.tool, whole.name, whole.where / item.name, problem=_("It leads out of the cache."))
        else:
            claimed = item.path.name if _SHA256.fullmatch(item.path.name) else ""
            files.append(HeldFile(item.name, item.path, item.size, claimed))
    yield from models_among(whole, files)


def caches_folder(home: Path) -> Path:
    """Where programs keep caches: ``~/Library/Caches`` on macOS, ``~/.cache`` elsewhere."""
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


HUGGING_FACE: Final = HuggingFace()
