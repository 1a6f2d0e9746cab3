"""The hf source against a local hub."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.hub_servers import COMMIT, Asked, HuggingFace, Reply, Served, serve, sha256

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError
from ultralab.models.sources.base import Access, RemoteFile, Resolution
from ultralab.models.sources.huggingface import SOURCE

WEIGHTS = b"w" * 100
SECRET = "hf_verysecret"


def at(*served: Served, token: str = "") -> Access:
    return Access(lambda realm: token if realm == "hf" else "", {"hf": tuple(hub.url for hub in served)})


def test_a_whole_repository() -> None:
    card = {"license": "other", "license_name": "llama3.2", "base_model": ["meta/Base", 7]}
    with serve(HuggingFace({"b/模型 Q4_0.gguf": WEIGHTS, "README.md": b"# hi"}, card=card)) as hub:
        found = SOURCE.resolve("org/repo", at(hub))
        base = f"{hub.url}/org/repo/resolve/{COMMIT}"
    assert found == Resolution(
        ref="hf:org/repo",
        name="repo",
        version=COMMIT,
        licence="llama3.2",
        homepage="https://huggingface.co/org/repo",
        files=(
            RemoteFile("README.md", f"{base}/README.md", 4, ""),
            RemoteFile("b/模型 Q4_0.gguf", f"{base}/b/%E6%A8%A1%E5%9E%8B%20Q4_0.gguf", 100, sha256(WEIGHTS)),
        ),
        base_models=("meta/Base",),
    )
    assert hub.paths == ["/api/models/org/repo"]
    assert "authorization" not in hub.asked[0].headers


def test_a_branch_stays_in_the_reference_and_files_are_pinned() -> None:
    with serve(HuggingFace({"x.gguf": WEIGHTS}, branches=("main", "refs/pr/1"))) as hub:
        found = SOURCE.resolve("org/repo@refs/pr/1:*.gguf", at(hub))
    assert (found.ref, found.version) == ("hf:org/repo@refs/pr/1:*.gguf", COMMIT)
    assert f"/resolve/{COMMIT}/" in found.files[0].url


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("Q4_K_M", ["m-Q4_K_M.gguf"]),
        ("q4_k_m", ["m-Q4_K_M.gguf"]),
        ("*.gguf", ["big/m-00001-of-00002.gguf", "big/m-00002-of-00002.gguf", "m-Q4_K_M.gguf"]),
        ("big/*", ["big/m-00001-of-00002.gguf", "big/m-00002-of-00002.gguf"]),
        ("m-00002-of-00002.gguf", ["big/m-00001-of-00002.gguf", "big/m-00002-of-00002.gguf"]),
        ("config.json", ["config.json"]),
    ],
)
def test_patterns(pattern: str, names: list[str]) -> None:
    files = dict.fromkeys(
        ["m-Q4_K_M.gguf", "big/m-00001-of-00002.gguf", "big/m-00002-of-00002.gguf", "config.json"], b"x"
    )
    with serve(HuggingFace(files)) as hub:
        assert [file.name for file in SOURCE.resolve(f"org/repo:{pattern}", at(hub)).files] == names


def test_a_pattern_that_fits_nothing_names_what_is_near() -> None:
    with serve(HuggingFace({"m-Q4_K_M.gguf": b"x", "m-Q8_0.gguf": b"x"})) as hub, pytest.raises(NotFound) as caught:
        SOURCE.resolve("org/repo:m-Q4_K_S.gguf", at(hub))
    assert "m-Q4_K_M.gguf" in caught.value.hint


def test_what_is_not_there() -> None:
    with serve(HuggingFace({"x.gguf": b"x"})) as hub:
        with pytest.raises(NotFound, match="no model repository org/other") as repository:
            SOURCE.resolve("org/other", at(hub))
        assert "ultralab secrets set hf" in repository.value.hint
        with pytest.raises(NotFound, match="has no revision v9"):
            SOURCE.resolve("org/repo@v9", at(hub))


def test_a_gated_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(HuggingFace({"x.gguf": WEIGHTS}, gated=True, members=(SECRET,))) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(RequestError, match="accepted its terms") as without:
            SOURCE.resolve("org/repo", at(hub))
        assert "https://huggingface.co/org/repo" in without.value.hint
        assert "hf auth login" in without.value.hint
        with pytest.raises(RequestError, match="accepted its terms") as stranger:
            SOURCE.resolve("org/repo", at(hub, token="hf_stranger"))
        assert "account of your token" in stranger.value.hint
        assert "hf_stranger" not in repr(stranger.value.data) + stranger.value.message + stranger.value.hint
        (file,) = SOURCE.resolve("org/repo", at(hub, token=SECRET)).files
    assert file.realm == "hf"


def test_a_private_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(HuggingFace({"x.gguf": WEIGHTS}, private=True, members=(SECRET,))) as hub:
        monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/")
        assert SOURCE.resolve("org/repo", at(hub, token=SECRET)).version == COMMIT
        with pytest.raises(NotFound, match="no model repository"):
            SOURCE.resolve("org/repo", at(hub))


def test_the_next_endpoint_is_asked_where_the_first_cannot_be_reached() -> None:
    with serve(HuggingFace({"x.gguf": WEIGHTS})) as hub, serve(lambda _asked: Reply(503)) as broken:
        dead = Served("http://127.0.0.1:9")
        (file,) = SOURCE.resolve("org/repo", at(dead, broken, hub, token=SECRET)).files
        path = f"/org/repo/resolve/{COMMIT}/x.gguf"
    assert (file.url, file.mirrors) == (f"{hub.url}{path}", (f"{dead.url}{path}", f"{broken.url}{path}"))
    assert file.realm == ""
    assert [asked.token for asked in (*hub.asked, *broken.asked)] == ["", ""], "a mirror of a setting gets no token"


def test_no_endpoint_can_be_reached() -> None:
    with pytest.raises(FetchFailed, match=r"http://127\.0\.0\.1:9 cannot be reached") as caught:
        SOURCE.resolve("org/repo", at(Served("http://127.0.0.1:9")))
    assert caught.value.hint


def test_a_token_does_not_follow_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(HuggingFace({"x.gguf": WEIGHTS})) as other:
        target = f"{other.url}/api/models/org/repo".replace("127.0.0.1", "localhost")
        with serve(lambda _asked: Reply(307, b"", {"Location": f"{target}?blobs=true"})) as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            SOURCE.resolve("org/repo", at(hub, token=SECRET))
    assert (hub.asked[0].token, other.asked[0].token) == (SECRET, "")


@pytest.mark.parametrize(
    "name",
    ["../x.gguf", "/etc/x", "a//b", "a\nb.gguf", "a\x1b[31m.gguf", "a\u202eb.gguf", "..", "", "x\\y", "a/" * 9 + "b"],
)
def test_names_that_are_unsafe(name: str) -> None:
    with (
        serve(HuggingFace({"x.gguf": WEIGHTS, name: b"x"})) as hub,
        pytest.raises(RequestError, match="unsafe name") as caught,
    ):
        SOURCE.resolve("org/repo:x.gguf", at(hub))
    assert type(caught.value) is RequestError
    assert caught.value.message.isprintable()


def changed(change: dict[str, object]) -> HuggingFace:
    """A hub whose answer about the repository is changed."""

    class Changed(HuggingFace):
        def _about(self, asked: Asked) -> dict[str, object]:
            return {**super()._about(asked), **change}

    return Changed({"x.gguf": WEIGHTS})


def sibling(**change: object) -> dict[str, object]:
    good = {"rfilename": "x", "size": 1, "blobId": "", "lfs": {"sha256": "a" * 64, "size": 1, "pointerSize": 1}}
    return {"siblings": [{**good, **change}]}


@pytest.mark.parametrize(
    "change",
    [
        sibling(size=-1, lfs=None),
        sibling(size=2**53 + 1, lfs=None),
        sibling(size="1", lfs=None),
        sibling(size=True, lfs=None),
        sibling(lfs={"sha256": "a" * 63, "size": 1, "pointerSize": 1}),
        sibling(lfs={"sha256": "g" * 64, "size": 1, "pointerSize": 1}),
        sibling(lfs={"sha256": 5, "size": 1, "pointerSize": 1}),
        sibling(lfs={"sha256": "a" * 64, "size": -5, "pointerSize": 1}),
        sibling(rfilename=5),
        {"siblings": [*sibling()["siblings"], *sibling()["siblings"]]},  # type: ignore[misc]
        {"siblings": [{"rfilename": "a"}, {"rfilename": "a/b"}]},
        {"siblings": [{"rfilename": f"f{number}"} for number in range(100_001)]},
    ],
    ids=range(12),
)
def test_listings_that_are_refused_whole(change: dict[str, object]) -> None:
    with serve(changed(change)) as hub, pytest.raises(RequestError, match="is refused") as caught:
        SOURCE.resolve("org/repo", at(hub))
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "change",
    [
        {"sha": "../../etc"},
        {"sha": None},
        {"siblings": 5},
        {"siblings": [5]},
        {"siblings": [{}]},
        {"siblings": [{"rfilename": "a", "lfs": {"size": 1}}]},
        {"lastModified": "yesterday"},
        {"cardData": {"license": "\x1b[31m", "base_model": {"a": 1}}, "sha": "x"},
    ],
    ids=str,
)
def test_answers_that_cannot_be_understood(change: dict[str, object]) -> None:
    with serve(changed(change)) as hub, pytest.raises(FetchFailed, match="cannot be understood"):
        SOURCE.resolve("org/repo", at(hub))


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(200, b"<html>login</html>"), FetchFailed, "cannot be understood"),
        (Reply(200, b"[" * 100_000), FetchFailed, "cannot be understood"),
        (Reply(200, b"null"), FetchFailed, "cannot be understood"),
        (Reply(200, b"{}", {"Content-Encoding": "gzip"}), FetchFailed, "cannot be understood"),
        (Reply(302, b"", {"Location": "/again"}), RequestError, "leads from one address to the next"),
        (Reply(302, b"", {"Location": "file:///etc/passwd"}), FetchFailed, "cannot be reached"),
        (Reply(500), FetchFailed, "answered 500"),
        (Reply(429, b"", {"Retry-After": "30"}), FetchFailed, "answered 429"),
        (Reply(418), FetchFailed, "answered 418"),
        (Reply(403), RequestError, "refused your token"),
    ],
    ids=range(10),
)
def test_servers_that_do_not_answer_as_they_should(reply: Reply, error: type[Exception], message: str) -> None:
    with serve(lambda _asked: reply) as hub, pytest.raises(error, match=message):
        SOURCE.resolve("org/repo", at(hub))


def test_an_answer_without_end() -> None:
    body = b'{"x":"' + b"y" * (64 * 1024 * 1024) + b'"}'
    with serve(lambda _asked: Reply(200, body)) as hub, pytest.raises(RequestError, match="more than 64"):
        SOURCE.resolve("org/repo", at(hub))


@pytest.mark.parametrize(
    "bad", ["", "a/b/c", "a b/c", "../x", "org/repo@", "org/repo@a..b", "org/repo:", "org/-x\n", "x" * 600]
)
def test_references_that_are_none(bad: str) -> None:
    with pytest.raises(RequestError) as caught:
        SOURCE.resolve(bad, at(Served("http://127.0.0.1:9")))
    assert (type(caught.value), "hf:org/repo" in caught.value.hint) == (RequestError, True)


def test_offline_is_respected() -> None:
    program = "from ultralab.models.sources.huggingface import SOURCE; SOURCE.resolve('org/repo')"
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}  # the library reads it once, at import
    done = subprocess.run([sys.executable, "-c", program], env=offline, capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("FetchFailed: https://huggingface.co was not asked: HF_HUB_OFFLINE is set.")
