"""Prompts that were read once, kept on disk for the next load: names, the size limit, and careful reading and writing.

A file is named after all that must be the same for it to be of use. Who was not used for longest goes first. Failures
never stop a model from serving: they are noted in the engine's log.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.engines.base import Client
from ultralab.engines.options import LoadOptions, PromptCache
from ultralab.engines.types import ModelFile
from ultralab.kernel.errors import UltralabError
from ultralab.system import clock, files

_OURS: Final = re.compile(r"[A-Za-z0-9_.-]+-[0-9a-f]{24}\.prompt(-[0-9a-f]{8}\.part)?(\.[A-Za-z0-9]+)*")
_HALF: Final = re.compile(r"-[0-9a-f]{8}\.part(\.[A-Za-z0-9]+)*$")
_ABANDONED: Final = 3600.0  # seconds; a half-written file that old has no writer any more
_SAMPLES: Final = 16
_SAMPLE: Final = 16 * 1024


@dataclass(frozen=True)
class Kept:
    """A file of the cache: its name, its bytes, when it was last used (seconds since the epoch)."""

    name: str
    size: int
    used: float


def to_remove(kept: Sequence[Kept], limit: int, now: float) -> tuple[str, ...]:
    """The files that must go, so that the rest takes at most ``limit`` bytes: the least recently used first.

    A file that alone is larger than the limit goes, and so does a half-written one that was abandoned.
    """
    gone = [one for one in kept if one.size > limit or (_HALF.search(one.name) and now - one.used > _ABANDONED)]
    left = sorted((one for one in kept if one not in gone), key=lambda one: (one.used, one.name))
    total = sum(one.size for one in left)
    for one in left:
        if total <= limit:
            break
        gone.append(one)
        total -= one.size
    return tuple(one.name for one in gone)


def name_of(engine: str, version: str, model: ModelFile, options: LoadOptions) -> str:
    """The file name for a model's cached prompt: it changes with the weights, the engine, and what shapes the cache.

    Threads, batches, seeds, a draft model and the chat template do not matter to it. Weights are told apart by their
    size and samples of their bytes: hashing them whole would take longer than the cache saves.
    """
    shaping = {
        "engine": engine,
        "version": version,
        "model": fingerprint(model.path),
        "context": options.context,
        "parallel": options.parallel,
        "types": [options.key_type, options.value_type, options.flash, options.weight_bits, options.embeddings],
        "adapters": [[fingerprint(one.path), one.scale] for one in options.adapters],
        "projector": fingerprint(options.projector) if options.projector else "",
    }
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    return f"{engine}-{digest[:24]}.prompt"


def fingerprint(path: Path) -> str:
    """What tells a model's files from any other's: names, sizes and samples of the bytes. Empty where it is unreadable."""
    digest = hashlib.sha256()
    try:
        inside = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        for one in inside:
            with one.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                digest.update(f"{one.name if one != path else ''}\0{size}\0".encode())
                for number in range(_SAMPLES):
                    stream.seek(max(0, size - _SAMPLE) * number // (_SAMPLES - 1))
                    digest.update(stream.read(_SAMPLE))
    except OSError:
        return ""
    return digest.hexdigest()


def prepare(cache: PromptCache, log: Path) -> None:
    """Make the folder, before an engine is started that wants it to be there, and bring it within its limit. Never raises."""
    try:
        with files.explained(cache.folder):
            cache.folder.mkdir(parents=True, exist_ok=True)
    except UltralabError as error:
        _note(log, f"the folder of cached prompts could not be made: {error.message}")
    tidy(cache)


def recall(client: Client, cache: PromptCache, name: str, log: Path) -> int:
    """Let an engine read what was kept, if anything was; its tokens. What cannot be read is removed. Never raises."""
    there = _parts(cache.folder, name)
    if not there:
        return 0
    try:
        tokens = client.recall(name)
    except UltralabError as error:
        _note(log, f"the cached prompt {name} could not be read: {error.message}")
        _remove(there)
        return 0
    for path in there:
        with contextlib.suppress(OSError):
            os.utime(path)
    return tokens


def keep(client: Client, cache: PromptCache, name: str, log: Path) -> int:
    """Let an engine write its cached prompt, within the folder's limit; its tokens. Never raises, leaves nothing half."""
    half = f"{name}-{secrets.token_hex(4)}.part"
    tokens = 0
    try:
        with files.explained(cache.folder):
            cache.folder.mkdir(parents=True, exist_ok=True)
            tokens = client.keep(half)
            if tokens > 0:
                for path in _parts(cache.folder, half):
                    path.replace(cache.folder / (name + path.name.removeprefix(half)))
    except UltralabError as error:
        _note(log, f"the cached prompt could not be kept: {error.message}")
    _remove(_parts(cache.folder, half))
    tidy(cache)
    return tokens


def tidy(cache: PromptCache) -> tuple[str, ...]:
    """Bring a folder within its limit; what went. Only files that this module names are counted or touched."""
    kept: list[Kept] = []
    with contextlib.suppress(OSError):
        for path in cache.folder.iterdir():
            if _OURS.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    state = path.lstat()
                    kept.append(Kept(path.name, state.st_size, state.st_mtime))
    gone = to_remove(kept, cache.limit, clock.timestamp())
    _remove([cache.folder / name for name in gone])
    return gone


def _parts(folder: Path, name: str) -> list[Path]:
    """The file of that name, and those that an engine made of it by an ending of its own (``name.safetensors``)."""
    try:
        return sorted(path for path in folder.iterdir() if path.name == name or path.name.startswith(f"{name}."))
    except OSError:
        return []


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _note(log: Path, sentence: str) -> None:
    with contextlib.suppress(UltralabError):
        files.append_line(log, f"ultralab: {sentence}")
