"""The folder of cached prompts: what goes, what a name depends on, and that trouble stays in the log."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engines.scripted_engine import READY, SERVE, SHAPE, Scripted, running

from ultralab.engines.base import Client, LoadOptions, ModelFile
from ultralab.engines.clients.unable import Unable
from ultralab.engines.options import Adapter, PromptCache
from ultralab.engines.prompt_cache import Kept, fingerprint, keep, name_of, recall, tidy, to_remove
from ultralab.kernel.errors import EngineFailed

KEPT = st.builds(Kept, st.uuids().map(str), st.integers(0, 100), st.floats(0, 1000))


@given(st.lists(KEPT, unique_by=lambda one: one.name), st.integers(0, 300))
def test_what_stays_fits_and_was_used_last(kept: list[Kept], limit: int) -> None:
    gone = set(to_remove(kept, limit, 1000))
    stays = [one for one in kept if one.name not in gone]
    assert sum(one.size for one in stays) <= limit
    for one in kept:
        if one.name in gone and one.size <= limit:  # it would not have fitted beside what was used after it
            later = [other for other in kept if other.size <= limit and (other.used, other.name) > (one.used, one.name)]
            assert sum(other.size for other in later) + one.size > limit


def test_the_abandoned_half_goes_and_the_fresh_one_stays() -> None:
    half = Kept("fake-0.prompt-0123abcd.part", 1, 100)
    assert to_remove([half], 10, 200) == ()
    assert to_remove([half], 10, 100 + 3601) == (half.name,)
    assert to_remove([replace(half, name="x.prompt-0123abcd.part.safetensors")], 10, 9999) != ()


def model(folder: Path, content: bytes = b"weights") -> ModelFile:
    (folder / "model").write_bytes(content)
    return ModelFile(folder / "model", "the model", "gguf", SHAPE)


def test_a_name_depends_on_what_shapes_the_cache_and_on_nothing_else(tmp_path: Path) -> None:
    plain = LoadOptions()
    same = [
        LoadOptions(threads=3, seed=7, batch=512, chat_template="{{ x }}", prompt_cache=PromptCache(tmp_path, 1)),
    ]
    (tmp_path / "lora").write_bytes(b"lora")
    others = [
        LoadOptions(context=99),
        LoadOptions(key_type="q8_0"),
        LoadOptions(flash=False),
        LoadOptions(weight_bits=4),
        LoadOptions(parallel=2),
        LoadOptions(adapters=(Adapter(tmp_path / "lora"),)),
        LoadOptions(adapters=(Adapter(tmp_path / "lora", 0.5),)),
    ]
    first = name_of("fake", "fake 1", model(tmp_path), plain)
    assert {name_of("fake", "fake 1", model(tmp_path), one) for one in same} == {first}
    names = {name_of("fake", "fake 1", model(tmp_path), one) for one in others}
    names |= {name_of("fake", "fake 2", model(tmp_path), plain), name_of("mlx", "fake 1", model(tmp_path), plain)}
    names |= {name_of("fake", "fake 1", model(tmp_path, b"weightz"), plain)}
    assert len(names) == 10
    assert first not in names
    assert "/" not in first


def test_a_fingerprint_sees_every_file_and_both_ends(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"\0" * 3_000_000)
    seen = {fingerprint(folder)}
    with (folder / "a").open("r+b") as stream:
        stream.write(b"x")
        stream.flush()
        seen.add(fingerprint(folder))
        stream.seek(-1, os.SEEK_END)
        stream.write(b"x")
        stream.flush()
        seen.add(fingerprint(folder))
    (folder / "b").write_bytes(b"")
    seen.add(fingerprint(folder))
    (folder / "b").rename(folder / "c")
    assert len(seen | {fingerprint(folder)}) == 5
    assert fingerprint(folder / "none") == ""


@dataclass
class Keeper(Unable):
    """Keeps ``content`` in a folder, with an ending of its own; ``trouble``: fails after it wrote a half."""

    folder: Path
    content: bytes = b"prompt"
    ending: str = ""
    trouble: bool = False
    recalled: list[str] = field(default_factory=list)

    def keep(self, name: str) -> int:
        (self.folder / (name + self.ending)).write_bytes(self.content)
        if self.trouble:
            raise EngineFailed("no space left")
        return len(self.content)

    def recall(self, name: str) -> int:
        if self.trouble:
            raise EngineFailed("another model's")
        self.recalled.append(name)
        return len((self.folder / (name + self.ending)).read_bytes())


@pytest.mark.parametrize("ending", ["", ".safetensors"])
def test_what_was_kept_is_recalled_and_counts_as_used(ending: str, tmp_path: Path) -> None:
    cache, log = PromptCache(tmp_path / "cache", 100), tmp_path / "log"
    client = Keeper(cache.folder, ending=ending)
    name = "fake-" + "0" * 24 + ".prompt"
    assert recall(client, cache, name, log) == 0
    assert (keep(client, cache, name, log), keep(client, cache, name, log)) == (6, 6)
    there = cache.folder / (name + ending)
    assert list(cache.folder.iterdir()) == [there]
    os.utime(there, (1, 1))
    assert recall(client, cache, name, log) == 6
    assert there.stat().st_mtime > 1
    assert client.recalled == [name]
    assert not log.exists()


def test_trouble_is_noted_and_leaves_nothing_half(tmp_path: Path) -> None:
    cache, log = PromptCache(tmp_path / "cache", 100), tmp_path / "log"
    cache.folder.mkdir()
    name = "fake-" + "0" * 24 + ".prompt"
    bad = Keeper(cache.folder, trouble=True)
    assert keep(bad, cache, name, log) == 0
    assert list(cache.folder.iterdir()) == []
    (cache.folder / name).write_bytes(b"somebody's")
    assert recall(bad, cache, name, log) == 0
    assert list(cache.folder.iterdir()) == []  # of no use to anybody: its name says whose it is
    assert keep(Unable(), cache, name, log) == 0
    (tmp_path / "file").write_text("")
    assert keep(bad, PromptCache(tmp_path / "file", 1), name, log) == 0
    told = log.read_text().splitlines()
    assert told[0] == "ultralab: the cached prompt could not be kept: no space left"
    assert told[1] == f"ultralab: the cached prompt {name} could not be read: another model's"
    assert len(told) == 4


def test_the_limit_is_kept_and_nobody_elses_files_are_touched(tmp_path: Path) -> None:
    stranger = tmp_path / "notes.txt"
    stranger.write_bytes(b"x" * 1000)
    names = [f"fake-{number:024x}.prompt" for number in range(4)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"x" * 40)
        os.utime(tmp_path / name, (number, number))
    cache = PromptCache(tmp_path, 100)
    assert tidy(cache) == tuple(names[:2])
    client = Keeper(tmp_path, content=b"x" * 101)
    assert keep(client, cache, names[0], tmp_path / "log") == 101
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", *names[2:]}


def test_a_block_recalls_first_and_keeps_only_when_it_ended_well(tmp_path: Path) -> None:
    cache = PromptCache(tmp_path / "cache", 100)
    client = Keeper(cache.folder)

    def talk(_endpoint: object) -> Client:
        return client

    tried = Scripted(f"{READY}{SERVE}time.sleep(60)", talks=talk)
    (tmp_path / "model").write_bytes(b"weights")
    options = LoadOptions(prompt_cache=cache)

    def failing() -> None:
        with running(tried, tmp_path, options=options):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert list(cache.folder.iterdir()) == []
    for _ in range(2):
        with running(tried, tmp_path, options=options):
            pass
    (kept,) = cache.folder.iterdir()
    assert client.recalled == [kept.name]
