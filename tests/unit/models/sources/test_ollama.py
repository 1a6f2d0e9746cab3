"""The ollama source against a local registry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.hub_servers import Asked, OllamaRegistry, Reply, Served, serve, sha256

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError, Unsupported
from ultralab.models.sources.base import Access, RemoteFile, Resolution
from ultralab.models.sources.ollama import SOURCE

WEIGHTS, EYES = b"GGUF" + b"w" * 100, b"GGUF" + b"e" * 50
LICENCE = b"\n   Apache License\n   Version 2.0"


def at(*served: Served) -> Access:
    return Access(endpoints={"ollama": tuple(hub.url for hub in served)})


def test_a_model_with_a_projector() -> None:
    registry = OllamaRegistry(
        {"model": WEIGHTS, "projector": EYES, "template": b"{{ .Prompt }}", "license": LICENCE, "params": b"{}"}
    )
    with serve(registry) as hub:
        found = SOURCE.resolve("tiny", at(hub))
        blobs = f"{hub.url}/v2/library/tiny/blobs/sha256:"
    assert found == Resolution(
        ref="ollama:tiny:latest",
        name="tiny",
        version=sha256(json.dumps(registry.manifest()).encode()),
        licence="Apache License",
        homepage="https://ollama.com/library/tiny",
        files=(
            RemoteFile("mmproj-tiny-latest.gguf", f"{blobs}{sha256(EYES)}", len(EYES), sha256(EYES)),
            RemoteFile("tiny-latest.gguf", f"{blobs}{sha256(WEIGHTS)}", len(WEIGHTS), sha256(WEIGHTS)),
        ),
    )
    assert hub.asked[0].headers["accept"] == "application/vnd.docker.distribution.manifest.v2+json"


@pytest.mark.parametrize(
    ("rest", "model", "tag", "ref"),
    [
        ("library/tiny:1b", "library/tiny", "1b", "ollama:tiny:1b"),
        ("me/Tiny.2:q4_0", "me/Tiny.2", "q4_0", "ollama:me/Tiny.2:q4_0"),
    ],
)
def test_names(rest: str, model: str, tag: str, ref: str) -> None:
    with serve(OllamaRegistry({"model": WEIGHTS}, model=model, tag=tag)) as hub:
        found = SOURCE.resolve(rest, at(hub))
    assert (found.ref, found.licence, len(found.files)) == (ref, "", 1)


def test_the_next_endpoint() -> None:
    with serve(OllamaRegistry({"model": WEIGHTS})) as hub:
        (file,) = SOURCE.resolve("tiny", at(Served("http://127.0.0.1:9"), hub)).files
    assert file.mirrors == (file.url.replace(hub.url, "http://127.0.0.1:9"),)


def test_what_is_not_there() -> None:
    with serve(OllamaRegistry({"model": WEIGHTS})) as hub, pytest.raises(NotFound, match="no model ollama:tiny:9b"):
        SOURCE.resolve("tiny:9b", at(hub))


@pytest.mark.parametrize(
    ("layers", "config"),
    [
        ({"template": b"x"}, {"model_format": "gguf"}),
        ({"tensor": b"x"}, {"model_format": "safetensors"}),
        ({"model": WEIGHTS}, {"model_format": "safetensors"}),
        ({"model": WEIGHTS, "adapter": b"a"}, {"model_format": "gguf"}),
    ],
    ids=range(4),
)
def test_what_is_no_gguf_model(layers: dict[str, bytes], config: dict[str, Any]) -> None:
    with serve(OllamaRegistry(layers, config=config)) as hub, pytest.raises(Unsupported) as caught:
        SOURCE.resolve("tiny", at(hub))
    assert caught.value.hint


LAYER = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{'a' * 64}", "size": 5}


@pytest.mark.parametrize(
    "layers",
    [
        [{**LAYER, "digest": "sha256:../../x"}],
        [{**LAYER, "digest": "md5:abc"}],
        [{**LAYER, "digest": None}],
        [{**LAYER, "digest": f"sha256:{'A' * 64}"}],
        [{**LAYER, "size": -1}],
        [{**LAYER, "size": 2**60}],
        [{**LAYER, "mediaType": 5}],
        [5],
        None,
        [LAYER] * 1001,
    ],
    ids=range(10),
)
def test_manifests_that_are_refused(layers: object) -> None:
    with (
        serve(lambda _asked: Reply(body={"layers": layers})) as hub,
        pytest.raises(RequestError, match="is refused") as caught,
    ):
        SOURCE.resolve("tiny", at(hub))
    assert caught.value.message.isprintable()


def test_a_description_that_is_not_what_its_digest_says() -> None:
    registry = OllamaRegistry({"model": WEIGHTS})

    def lying(asked: Asked) -> Reply:
        return Reply(body=b'{"model_format": "gguf!"}') if "/blobs/" in asked.path else registry(asked)

    with serve(lying) as hub, pytest.raises(RequestError, match="has not the promised SHA-256"):
        SOURCE.resolve("tiny", at(hub))


def test_an_answer_that_is_no_manifest() -> None:
    with serve(lambda _asked: Reply(body=b"[]")) as hub, pytest.raises(FetchFailed, match="cannot be understood"):
        SOURCE.resolve("tiny", at(hub))


@pytest.mark.parametrize("bad", ["", "a/b/c", "hf.co/org/repo", "../x", "a:b:c", "a b", "x:", "a..b", "x\n"])
def test_references_that_are_none(bad: str) -> None:
    with pytest.raises(RequestError) as caught:
        SOURCE.resolve(bad, at(Served("http://127.0.0.1:9")))
    assert "ollama:name[:tag]" in caught.value.hint
