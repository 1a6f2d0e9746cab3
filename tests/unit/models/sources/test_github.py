"""The github source against a local server of GitHub's releases API."""

from __future__ import annotations

import pytest
from tests.hub_servers import GitHub, Reply, Served, serve, sha256

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError
from ultralab.models.sources.base import Access, RemoteFile, Resolution
from ultralab.models.sources.github import SOURCE

WEIGHTS = b"w" * 100
RELEASES = {"v1": {"old.gguf": b"o"}, "v2": {"tiny-q4_0.gguf": WEIGHTS, "notes.txt": b"n"}}


def at(*served: Served) -> Access:
    return Access(lambda _realm: "ghp_secret", {"github": tuple(hub.url for hub in served)})


def test_the_latest_release_is_pinned() -> None:
    with serve(GitHub(RELEASES)) as hub:
        found = SOURCE.resolve("owner/repo:*.gguf", at(hub))
    url = "https://github.com/owner/repo/releases/download/v2/tiny-q4_0.gguf"
    assert found == Resolution(
        ref="github:owner/repo@v2:*.gguf",
        name="repo",
        version="v2",
        licence="MIT",
        homepage="https://github.com/owner/repo",
        files=(RemoteFile("tiny-q4_0.gguf", url, 100, sha256(WEIGHTS)),),
    )
    assert hub.paths == ["/repos/owner/repo/releases/latest", "/repos/owner/repo"]
    assert [asked.token for asked in hub.asked] == ["", ""], "this address is not GitHub's own"


def test_a_tag_and_all_its_assets() -> None:
    with serve(GitHub({"v1/β": {"a.gguf": b"a", "b.gguf": b"b"}}, digests=False, licence="NOASSERTION")) as hub:
        found = SOURCE.resolve("owner/repo@v1/β", at(hub))
    assert (found.version, found.licence) == ("v1/β", "")
    assert [(file.name, file.sha256) for file in found.files] == [("a.gguf", ""), ("b.gguf", "")]


def test_what_is_not_there() -> None:
    with serve(GitHub(RELEASES)) as hub:
        with pytest.raises(NotFound, match="no release github:owner/repo@v9"):
            SOURCE.resolve("owner/repo@v9", at(hub))
        with pytest.raises(NotFound, match="holds no file nothing") as caught:
            SOURCE.resolve("owner/repo:nothing", at(hub))
    assert "tiny-q4_0.gguf" in caught.value.hint


def test_the_limit_of_questions() -> None:
    with serve(GitHub(RELEASES, exhausted=True)) as hub, pytest.raises(FetchFailed, match="this hour") as caught:
        SOURCE.resolve("owner/repo", at(hub))
    assert "ultralab secrets set github" in caught.value.hint


def release(**change: object) -> Reply:
    asset = {"name": "x.gguf", "size": 1, "digest": None, "browser_download_url": "https://github.com/x"}
    return Reply(body={"tag_name": "v1", "assets": [{**asset, **change}]})


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"name": 5},
        {"size": -1},
        {"size": 1e300},
        {"digest": "md5:abc"},
        {"digest": "sha256:"},
        {"digest": "sha256:xyz"},
        {"browser_download_url": "file:///etc/passwd"},
        {"browser_download_url": "https://user:pass@host/x"},
        {"browser_download_url": "https://host/\n"},
        {"browser_download_url": "https://[x"},
        {"browser_download_url": None},
    ],
    ids=str,
)
def test_assets_that_are_refused(change: dict[str, object]) -> None:
    with serve(lambda _asked: release(**change)) as hub, pytest.raises(RequestError, match="is refused") as caught:
        SOURCE.resolve("owner/repo", at(hub))
    assert caught.value.message.isprintable()


def test_an_asset_that_is_still_being_uploaded_is_none() -> None:
    with serve(lambda _asked: release(state="open")) as hub:
        assert SOURCE.resolve("owner/repo", at(hub)).files == ()


@pytest.mark.parametrize("tag", [None, "", "a b", 5, "a:b"])
def test_a_release_without_a_name(tag: object) -> None:
    with (
        serve(lambda _asked: Reply(body={"tag_name": tag, "assets": []})) as hub,
        pytest.raises(FetchFailed, match="cannot be understood"),
    ):
        SOURCE.resolve("owner/repo", at(hub))


@pytest.mark.parametrize("bad", ["", "repo", "a/b/c", "owner/repo@a..b", "owner/re po"])
def test_references_that_are_none(bad: str) -> None:
    with pytest.raises(RequestError) as caught:
        SOURCE.resolve(bad, at(Served("http://127.0.0.1:9")))
    assert "github:owner/repo" in caught.value.hint
