"""A model's stay in an Ollama: lent without a copy, loaded as asked, taken back; and an Ollama that is not as expected."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fake_ollama import FakeOllama, Trouble, fake_ollama

from ultralab.engines.base import Ask, Endpoint, LoadOptions, ModelFile
from ultralab.engines.ollama import api, naming, store
from ultralab.engines.ollama.attachment import Stay, parameters_of
from ultralab.engines.ollama.engine import ENGINE, Ollama
from ultralab.engines.types import NO_SHAPE
from ultralab.kernel.errors import EngineFailed, NotFound, Unsupported
from ultralab.settings.schema import EngineSettings
from ultralab.system import clock, http
from ultralab.system.process import identify

CONTENT = b"GGUF" + bytes(range(256))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeOllama]:
    with fake_ollama(tmp_path / "ollama") as found:
        yield found


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    path = tmp_path / "Tiny Model.gguf"
    path.write_bytes(CONTENT)
    return ModelFile(path, "Tiny Model", "gguf", NO_SHAPE)


def theirs(name: str) -> ModelFile:
    """A model of Ollama's own."""
    return ModelFile(Path(), name, "gguf", NO_SHAPE)


def stay(server: FakeOllama, model: ModelFile, options: LoadOptions | None = None) -> Stay:
    return Stay(server.address, model, options or LoadOptions(), (server.folder,))


def failure(one: Stay) -> EngineFailed | NotFound:
    """Why it could not be opened; whoever opens closes, too."""
    try:
        with pytest.raises((EngineFailed, NotFound)) as caught:
            one.open(ignore)
        found = caught.value
        assert isinstance(found, EngineFailed | NotFound)
        return found
    finally:
        one.close()


def ignore(_share: float) -> None:
    """No progress is shown."""


def test_a_file_is_lent_loaded_and_taken_back_without_a_trace(server: FakeOllama, model: ModelFile) -> None:
    one = stay(server, model, LoadOptions(context=512, threads=3, seed=9, ubatch=256))
    endpoint = one.open(ignore)
    (blob,) = server.blobs
    assert server.blob(f"sha256-{blob}").stat().st_ino == model.path.stat().st_ino  # one file, two names
    assert endpoint.model.startswith("ultralab/tiny-model:run-")
    assert server.models[endpoint.model].parameters == {"num_ctx": 512, "seed": 9, "num_thread": 3, "num_batch": 256}
    assert [(runner.name, runner.context) for runner in server.alive().values()] == [(endpoint.model, 512)]
    assert (one.footprint(), one.version(), one.models()) == (len(CONTENT), "Ollama 0.33.0", ())
    one.close()
    one.close()
    assert (server.models, server.alive(), server.blobs) == ({}, {}, set())
    assert model.path.read_bytes() == CONTENT
    assert one.footprint() == 0


def test_bytes_that_it_has_are_not_lent_again(server: FakeOllama, model: ModelFile) -> None:
    server.add("mine:latest", CONTENT)
    one = Stay(server.address, model, LoadOptions(), ())  # no folder is known: nothing could be lent
    one.open(ignore)
    one.close()
    assert list(server.models) == ["mine:latest"]
    assert len(server.blobs) == 1


def test_its_own_model_is_taken_by_its_name(server: FakeOllama) -> None:
    server.add("llama3.2:latest", CONTENT, temperature=0.1)
    for title in ("llama3.2", "llama3.2:latest"):
        one = stay(server, theirs(title), LoadOptions(context=777))
        made = one.open(ignore).model
        assert server.models[made].parameters == {"temperature": 0.1, "num_ctx": 777, "seed": 42}
        assert one.models() == ("llama3.2:latest",)
        one.close()
    assert list(server.models) == ["llama3.2:latest"]
    assert server.alive() == {}


def test_a_model_that_it_does_not_have_is_told_with_the_nearest(server: FakeOllama) -> None:
    assert failure(stay(server, theirs("llama3"))).hint == "It has none yet: ollama pull gets one."
    server.add("llama3.2:latest", CONTENT)
    error = failure(stay(server, theirs("llama3")))
    assert isinstance(error, NotFound)
    assert (error.message, error.hint) == ("Ollama has no model 'llama3'.", "It has: llama3.2:latest.")


def test_what_was_in_memory_before_stays_as_long_as_it_would_have(server: FakeOllama) -> None:
    digest = server.add("llama3.2:latest", CONTENT, num_ctx=2048)
    server.bring("llama3.2", {}, "20m")
    before = server.runners[digest].expires
    one = stay(server, theirs("llama3.2"))
    one.open(ignore)
    assert one.footprint() == len(CONTENT)
    assert server.runners[digest].expires > before + 1000
    one.close()
    assert server.loads == 1
    assert server.runners[digest].expires == pytest.approx(before, abs=3)


def test_what_was_to_stay_for_good_stays_for_good(server: FakeOllama, model: ModelFile) -> None:
    digest = server.add("llama3.2:latest", CONTENT, num_ctx=2048)
    server.bring("llama3.2", {}, -1)
    one = stay(server, model)  # the same bytes, from a file
    one.open(ignore)
    one.close()
    assert server.runners[digest].expires > time.time() + 100 * 365 * 86_400


def test_what_our_options_pushed_out_is_not_brought_back(server: FakeOllama) -> None:
    server.add("llama3.2:latest", CONTENT, num_ctx=4096)
    server.bring("llama3.2", {}, "20m")
    one = stay(server, theirs("llama3.2"), LoadOptions(context=300))
    one.open(ignore)
    one.close()
    assert (server.alive(), server.loads) == ({}, 2)


def test_what_a_killed_owner_left_is_taken_away_and_nothing_else(server: FakeOllama, model: ModelFile) -> None:
    me = identify()
    assert me is not None
    alive = naming.fresh("other")
    left = f"ultralab/tiny:run-{me.pid}-00000000-abcdef"  # this pid, but another process's start
    for name in (left, alive, "ultralab/smollm2:q4_1", "llama3.2:latest"):
        server.add(name, CONTENT + name.encode())
    server.bring(left, {}, "1h")
    one = stay(server, model)
    one.open(ignore)
    assert left not in server.models
    assert {alive, "ultralab/smollm2:q4_1", "llama3.2:latest"} < set(server.models)
    assert len(server.alive()) == 1
    one.close()


def test_a_name_of_ours_is_known_as_ours() -> None:
    name = naming.fresh("SmolLM2 135M/Instruct : q4_1 中文")
    assert name.startswith("ultralab/smollm2-135m-instruct-q4-1:run-")
    assert len(name.rpartition(":")[2]) <= 80
    assert (naming.is_ours(name), naming.is_left(name)) == (True, False)
    assert naming.is_left("ultralab/x:run-1999999999-00000000-abcdef")
    assert not naming.is_left("library/x:run-1999999999-00000000-abcdef")
    assert naming.fresh("中文").startswith("ultralab/model:run-")


def test_an_embedding_model_is_loaded_as_one(server: FakeOllama, model: ModelFile) -> None:
    server.capabilities = ["embedding"]
    one = stay(server, model)
    endpoint = one.open(ignore)
    client = ENGINE.connect(endpoint)
    assert client.about().capabilities == {"embeddings"}
    assert len(client.embed(["a", "b"])) == 2
    server.trouble.failing["/api/generate"] = '"m" does not support generate'
    with pytest.raises(EngineFailed, match="does not support generate") as caught:
        list(client.stream(Ask(prompt="x")))
    assert caught.value.data == {"status": 500}
    client.close()
    server.trouble.failing.clear()
    one.close()


@pytest.mark.parametrize("path", ["/api/create", "/api/generate", "/api/show"])
def test_what_fails_while_loading_leaves_nothing(server: FakeOllama, model: ModelFile, path: str) -> None:
    server.trouble.failing[path] = "unable to load model: no such architecture"
    one = stay(server, model)
    with pytest.raises(EngineFailed, match="no such architecture") as caught:
        one.open(ignore)
    assert caught.value.data == {"status": 500}
    server.trouble.failing.clear()
    one.close()
    assert (server.models, server.alive()) == ({}, {})


def test_a_file_that_is_no_model_is_refused_by_it(server: FakeOllama, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"nonsense")
    assert (
        "supplied file was not in GGUF format" in failure(stay(server, ModelFile(bad, "bad", "gguf", NO_SHAPE))).message
    )
    assert isinstance(failure(stay(server, ModelFile(tmp_path / "none", "none", "gguf", NO_SHAPE))), NotFound)


def test_where_no_link_leads_a_copy_is_not_made_but_explained(
    server: FakeOllama, model: ModelFile, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "blobs").mkdir(parents=True)
    error = failure(Stay(server.address, model, LoadOptions(), (elsewhere,)))
    assert "without a second copy of it: it does not use" in error.message
    assert "ollama create" in error.hint
    assert list((elsewhere / "blobs").iterdir()) == []
    assert "OLLAMA_MODELS" in failure(Stay(server.address, model, LoadOptions(), ())).message
    with pytest.raises(EngineFailed, match="on another machine"):
        store.lend(model.path, "0" * 64, "http://192.168.1.5:11434", lambda: False, ())
    assert server.blobs == set()


def test_a_hash_is_read_from_the_name_that_a_store_gave(tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    plain = tmp_path / "plain.gguf"
    plain.write_bytes(CONTENT)
    read: list[int] = []
    assert store.digest_of(plain, read.append) == digest
    assert sum(read) == len(CONTENT)
    for number, name in enumerate((f"blobs/sha256/{digest}", f"blobs/sha256-{digest}")):
        blob = tmp_path / str(number) / name
        blob.parent.mkdir(parents=True)
        blob.write_bytes(b"the name is believed")
        link = tmp_path / f"link-{number}.gguf"
        link.symlink_to(blob)
        assert store.digest_of(link, read.append) == digest
    assert sum(read) == len(CONTENT)
    with pytest.raises(NotFound):
        store.digest_of(tmp_path / "none")


@pytest.mark.parametrize(
    ("trouble", "reason", "hint"),
    [
        (Trouble(version="0.5.4"), "Ollama 0.5.4 is too old: 0.5.5 is needed", "Update Ollama."),
        (Trouble(stranger=True), "is not Ollama", "ollama serve"),
        (Trouble(failing={"/api/version": "broken"}), "is not Ollama", "ollama serve"),
        (Trouble(delay=3), "no Ollama answers at", "ollama serve"),
    ],
)
def test_an_ollama_that_is_none_is_told_before_anything_is_asked_of_it(
    tmp_path: Path, trouble: Trouble, reason: str, hint: str
) -> None:
    with fake_ollama(tmp_path / "ollama", trouble) as server:
        begun = clock.monotonic()
        state = Ollama(server.address).availability()
        assert clock.monotonic() - begun < 3
        assert reason in state.reason
        assert hint in state.hint
        if not trouble.delay:
            assert reason in failure(stay(server, theirs("m"))).message
        trouble.delay = 0
        assert {path for path, _body in server.asked} <= {"/api/version"}


@pytest.mark.parametrize("address", ["http://127.0.0.1:abc", "http://a\x01b", "ftp://a", ""])
def test_what_is_no_address_is_said_and_never_raised(address: str) -> None:
    state = Ollama(address).availability()
    assert not state.ready
    assert "ultralab config set engines.ollama" in state.hint


@pytest.mark.parametrize("given_as", ["localhost:11434", "http://localhost:11434/", " http://localhost:11434 "])
def test_an_address_may_be_a_host_and_a_port(given_as: str) -> None:
    settings = EngineSettings(ollama=given_as)
    assert Ollama().configured(settings, "", str).address == "http://localhost:11434"


def test_nobody_there_is_told_with_how_to_start_it() -> None:
    state = Ollama("http://127.0.0.1:9").availability()
    assert "no Ollama answers at" in state.reason
    assert "ollama serve" in state.hint
    error = failure(Stay("http://127.0.0.1:9", theirs("m"), LoadOptions()))
    assert "does not answer" in error.message
    assert "ollama serve" in error.hint


def test_a_server_that_is_gone_does_not_hinder_the_end(tmp_path: Path, model: ModelFile) -> None:
    with fake_ollama(tmp_path / "ollama") as server:
        one = stay(server, model)
        one.open(ignore)
    one.close()


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Trouble(stop_after=3), "ended in the middle"),
        (Trouble(say_after=2), "could not go on: an error was encountered while running the model"),
    ],
)
def test_half_a_stream_is_the_engine_s_failure(
    server: FakeOllama, model: ModelFile, trouble: Trouble, said: str
) -> None:
    one = stay(server, model)
    client = ENGINE.connect(one.open(ignore))
    server.trouble = trouble
    got: list[str] = []
    with pytest.raises(EngineFailed, match=said):
        got.extend(piece.text for piece in client.stream(Ask(prompt="Once", max_tokens=9)))
    server.trouble = Trouble()
    assert client.chat([{"role": "user", "content": "Hi"}], 4)
    client.close()
    one.close()


def test_versions() -> None:
    assert [api.is_too_old(one) for one in ("0.5.4", "0.5.5", "0.33.0-rc2", "1.0.0", "0.0.0", "dev")] == [
        True, False, False, False, False, False,
    ]  # fmt: skip


def test_moments_as_go_writes_them(server: FakeOllama) -> None:
    server.add("m:latest", CONTENT)
    server.bring("m", {}, "10m")
    with http.server_client(server.address) as client:
        (found,) = api.running(client)
        assert found.expires == pytest.approx(time.time() + 600, abs=5)
        api.delete(client, "no such model")


def test_a_split_model_is_refused_before_it_is_asked() -> None:
    refused = ENGINE.refusal(ModelFile(Path("m-00001-of-00002.gguf"), "m", "gguf", NO_SHAPE), LoadOptions())
    assert refused is not None
    assert "--merge" in refused.hint


def test_what_is_not_asked_for_is_left_to_it() -> None:
    assert parameters_of(LoadOptions()) == {"num_ctx": 2048, "seed": 42}
    assert ENGINE.configured(EngineSettings(ollama="http://127.0.0.1:5/"), "", str).address == "http://127.0.0.1:5"
    assert ENGINE.plan(NO_SHAPE, LoadOptions()).total == 0


def test_an_empty_prompt_is_not_mistaken_for_a_wish_to_load(server: FakeOllama) -> None:
    client = ENGINE.connect(Endpoint(server.address, "", "m"))
    with pytest.raises(EngineFailed, match="the prompt is empty"):
        list(client.stream(Ask(prompt="")))
    with pytest.raises(Unsupported):
        client.tokenize("x")
    assert server.asked == []
    client.close()
