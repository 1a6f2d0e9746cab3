"""External addresses: which one is meant, whose key goes where, and what is said when the server is not as expected."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ultralab.engines import choice
from ultralab.engines.base import Endpoint, LoadOptions, ModelFile
from ultralab.engines.external import ENGINE, External
from ultralab.engines.types import NO_SHAPE
from ultralab.kernel.errors import EngineFailed, NotFound, UnknownChoice, Unsupported
from ultralab.secrets.verbs import require_name
from ultralab.settings.schema import EngineSettings

SECRETS = {"engines.external.studio": "sk-1"}
TWO = EngineSettings(external=("studio=http://127.0.0.1:1234/v1", "rack=https://rack.example:8000"))


@contextmanager
def listing(*names: str, key: str = "", status: int = 200, answer: bytes | None = None) -> Iterator[str]:
    """The address of a server that serves these models, to those who have the key."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return None

        def do_GET(self) -> None:
            allowed = not key or self.headers.get("Authorization") == f"Bearer {key}"
            body: Mapping[str, object] = {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}
            if not allowed:
                body = {"error": {"message": "no key, no answer"}}
            self.send_response(status if allowed else 401)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode() if answer is None else answer)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def opened(address: str, model: str = "", key: str = "") -> Endpoint:
    shares: list[float] = []
    visit = External("studio", address, key).start(ModelFile(Path(), model, "", NO_SHAPE), LoadOptions(), "ours")
    try:
        return visit.open(shares.append)
    finally:
        visit.close()
        visit.close()


def test_an_address_is_picked_by_its_name_and_has_its_own_key() -> None:
    chosen = ENGINE.configured(TWO, "studio", lambda name: SECRETS.get(name, ""))
    assert (chosen.title, chosen.address, chosen.key) == ("studio", "http://127.0.0.1:1234/v1", "sk-1")
    assert ENGINE.configured(TWO, "rack", lambda name: SECRETS.get(name, "")).key == ""
    assert chosen.availability().version == "http://127.0.0.1:1234/v1"
    for name in SECRETS:
        require_name(name)


def test_the_only_address_needs_no_name() -> None:
    one = EngineSettings(external=("studio=http://127.0.0.1:1/v1",))
    assert ENGINE.configured(one, "", lambda _name: "").which == "studio"


def test_several_addresses_need_a_name_and_an_unknown_one_is_told() -> None:
    with pytest.raises(UnknownChoice) as caught:
        ENGINE.configured(TWO, "", lambda _name: "")
    assert caught.value.hint == "Name one: external:rack, external:studio."
    with pytest.raises(UnknownChoice) as caught:
        ENGINE.configured(TWO, "studo", lambda _name: "")
    assert caught.value.hint == "Did you mean studio? Known: rack, studio."


def test_without_an_address_it_says_how_to_give_one() -> None:
    state = ENGINE.configured(EngineSettings(), "", lambda _name: "").availability()
    assert not state.ready
    assert "ultralab config set engines.external" in state.hint


@pytest.mark.parametrize(
    ("address", "key", "ready"),
    [
        ("http://models.example.com/v1", "k", False),
        ("http://models.example.com/v1", "", True),
        ("https://models.example.com/v1", "k", True),
        ("http://192.168.1.20:1234/v1", "k", True),
        ("http://100.101.102.103:52415", "k", True),
        ("http://studio.local:8080", "k", True),
    ],
)
def test_a_key_goes_unencrypted_into_the_own_network_only(address: str, key: str, ready: bool) -> None:
    chosen = External("far", address, key)
    assert chosen.availability().ready is ready
    if not ready:
        with pytest.raises(Unsupported, match="its key would travel unencrypted") as caught:
            choice.require(chosen, ModelFile(Path(), "m", "", NO_SHAPE), LoadOptions())
        assert "https" in caught.value.hint
        assert key not in caught.value.hint.split()


def test_the_model_is_taken_by_its_name_or_as_the_only_one() -> None:
    with listing("qwen3-8b", "qwen3-4b", key="sk-1") as address:
        assert opened(f"{address}/v1", "qwen3-4b", "sk-1") == Endpoint(f"{address}/v1", "sk-1", "qwen3-4b")
        visit = External("studio", address, "sk-1").start(ModelFile(Path(), "", "", NO_SHAPE), LoadOptions(), "")
        assert visit.models() == ("qwen3-8b", "qwen3-4b")
        assert (visit.version(), visit.footprint()) == (address, 0)
    with listing("only") as address:
        assert opened(address).model == "only"


def test_a_model_that_is_not_there_is_told_with_the_nearest() -> None:
    with listing("qwen3-8b", "gemma-3", "odd\x1bname") as address:
        with pytest.raises(NotFound) as caught:
            opened(address, "qwen3-9b")
        assert caught.value.message == "studio does not serve 'qwen3-9b'."
        assert caught.value.hint == "Did you mean qwen3-8b?"
        with pytest.raises(NotFound) as caught:
            opened(address)
        assert caught.value.message == "studio serves 3 models: which one is meant must be said."
        assert caught.value.hint == "It serves: qwen3-8b, gemma-3, odd\N{REPLACEMENT CHARACTER}name."
    with listing() as address, pytest.raises(NotFound, match="which one") as caught:
        opened(address)
    assert "load one there first" in caught.value.hint


def test_a_server_that_wants_a_key_is_told_with_where_to_put_it() -> None:
    with listing("m", key="right") as address:
        for key, said in (("", "wants a key"), ("wrong", "is not accepted")):
            with pytest.raises(EngineFailed, match="no key, no answer") as caught:
                opened(address, "m", key)
            assert said in caught.value.hint
            assert caught.value.hint.endswith("ultralab secrets set engines.external.studio")
            assert caught.value.data == {"status": 401}
            assert "wrong" not in caught.value.message


@pytest.mark.parametrize(
    "answer", [b"<html>hello</html>", b"{}", b"[]", b'{"data": [1]}', b'{"data": [{"name": "m"}]}']
)
def test_what_is_no_list_of_models_is_told(answer: bytes) -> None:
    with listing(answer=answer) as address, pytest.raises(EngineFailed, match="/v1/models cannot be read"):
        opened(address, "m")


def test_a_wrong_path_and_nobody_there_have_a_remedy_each() -> None:
    with listing(status=404, answer=b"") as address, pytest.raises(EngineFailed, match="404") as caught:
        opened(address, "m")
    assert "with or without /v1" in caught.value.hint
    with pytest.raises(EngineFailed, match=r"studio .*does not answer") as caught:
        opened("http://127.0.0.1:9", "m")
    assert "Start the server there" in caught.value.hint


def test_nothing_is_held_here() -> None:
    assert External("a", "http://127.0.0.1:1").plan(NO_SHAPE, LoadOptions()).total == 0
