"""Answers of hubs, changed at random where they have structure: every one is resolved safely or refused with a hint."""

from __future__ import annotations

import copy
import json
import random
import time
from typing import Any

import pytest
from tests.hub_servers import Asked, GitHub, Hub, HuggingFace, ModelScope, OllamaRegistry, Reply, serve

from ultralab.kernel.errors import UltralabError
from ultralab.models.records import is_safe_path
from ultralab.models.sources import github, huggingface, modelscope, ollama
from ultralab.models.sources.base import Access, Resolution, Source

FILES = {"m-Q4_0.gguf": b"w" * 100, "sub/config.json": b"{}", "README.md": b"# hi"}
HUBS: dict[str, tuple[Source, str, Hub]] = {
    "hf": (huggingface.SOURCE, "org/repo", HuggingFace(FILES, card={"license": "mit", "base_model": "a/b"})),
    "modelscope": (modelscope.SOURCE, "org/repo", ModelScope(FILES)),
    "github": (github.SOURCE, "owner/repo", GitHub({"v1": {"m.gguf": b"w" * 100, "n.gguf": b"x"}})),
    "ollama": (ollama.SOURCE, "tiny", OllamaRegistry({"model": b"w" * 100, "projector": b"p", "license": b"MIT"})),
}
NASTY: list[Any] = [
    None, True, False, -1, 0, 2**53, 2**53 + 1, 10**400, 1.5, float("nan"), float("inf"), "", ".", "..", "../x", "/etc/passwd",
    "a\nb", "a\x00b", "\x1b[2J", "a\u202ec", "\ud800", "~", "C:\\x", "x" * 5000, "a/" * 50, "sha256:", "sha256:" + "z" * 64,
    "f" * 63, "file:///etc/passwd", "https://u:p@h/x", [], {}, [[]], [None], {"": {}}, [{}] * 50,
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def mutant(value: Any, chance: random.Random) -> Any:
    """The value with one to three places replaced, removed or doubled."""
    changed = [copy.deepcopy(value)]  # a list around it: the root has a place too
    for _time in range(chance.randint(1, 3)):
        *way, last = chance.choice(places(changed)[1:])
        holder: Any = changed
        for key in way:
            holder = holder[key]
        match chance.randrange(4):
            case 0 if holder is not changed:
                del holder[last]
            case 1 if isinstance(holder, list) and holder is not changed:
                holder.append(copy.deepcopy(holder[last]))
            case _:
                holder[last] = copy.deepcopy(chance.choice(NASTY))
    return changed[0]


def require_safe(found: Resolution) -> None:
    """Nothing of a resolution may lead outside a folder or garble a terminal."""
    for file in found.files:
        assert is_safe_path(file.name)
        assert file.size is None or (type(file.size) is int and 0 <= file.size <= 2**53)
        assert file.sha256 == "" or (len(file.sha256) == 64 and int(file.sha256, 16) >= 0)
        assert file.url.startswith(("http://", "https://"))
        assert file.url.isprintable()
    for text in (found.ref, found.name, found.version, found.licence, *found.base_models):
        assert isinstance(text, str)
        assert text.isprintable()


@pytest.mark.parametrize("scheme", HUBS)
def test_mutants(scheme: str) -> None:
    source, rest, hub = HUBS[scheme]
    chance = random.Random(scheme)

    def changed(asked: Asked) -> Reply:
        reply = hub(asked)
        body = json.loads(reply.body) if isinstance(reply.body, bytes) and reply.body[:1] == b"{" else reply.body
        if isinstance(body, bytes) or chance.random() < 0.2:
            return reply
        return Reply(reply.status, json.dumps(mutant(body, chance)).encode(), reply.headers)

    good, refusals = 0, list[UltralabError]()
    with serve(changed) as served:
        access = Access(endpoints={scheme: (served.url,)})
        for _number in range(150):
            begin = time.monotonic()
            try:
                require_safe(source.resolve(rest, access))
                good += 1
            except UltralabError as error:
                refusals.append(error)
            assert time.monotonic() - begin < 5
    assert good > 10
    assert len(refusals) > 10
    assert [error.message for error in refusals if not error.hint or not error.message.isprintable()] == []
