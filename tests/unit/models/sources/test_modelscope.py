"""The modelscope source against a local server of its documented API."""

from __future__ import annotations

from typing import Any

import pytest
from tests.hub_servers import COMMIT, Asked, ModelScope, Reply, Served, serve, sha256

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError
from ultralab.models.sources.base import Access, RemoteFile, Resolution
from ultralab.models.sources.modelscope import CUT_AT, SOURCE

WEIGHTS = b"w" * 100


def at(*served: Served) -> Access:
    return Access(lambda _realm: "ms-secret", {"modelscope": tuple(hub.url for hub in served)})


def test_a_whole_repository() -> None:
    about = {"License": "Apache License 2.0\nmore", "BaseModel": ["Qwen/Base", None]}
    with serve(ModelScope({"m/模型 Q8.gguf": WEIGHTS, "README.md": b"# hi"}, about=about)) as hub:
        found = SOURCE.resolve("org/repo", at(hub))
        base = f"{hub.url}/api/v1/models/org/repo/repo?Revision=master&FilePath="
    assert found == Resolution(
        ref="modelscope:org/repo",
        name="repo",
        version=COMMIT,
        licence="Apache License 2.0",
        homepage="https://www.modelscope.cn/models/org/repo",
        files=(
            RemoteFile("README.md", f"{base}README.md", 4, sha256(b"# hi")),
            RemoteFile("m/模型 Q8.gguf", f"{base}m%2F%E6%A8%A1%E5%9E%8B%20Q8.gguf", 100, sha256(WEIGHTS)),
        ),
        base_models=("Qwen/Base",),
    )
    assert [asked.token for asked in hub.asked] == ["", ""], "this address is no endpoint of the user's own"
    assert hub.asked[0].query == {"Revision": "master", "Recursive": "True"}


def test_a_revision_and_a_pattern() -> None:
    with serve(ModelScope({"a-q4_0.gguf": WEIGHTS, "b.gguf": b"x"}, revisions=("master", "v1.0"))) as hub:
        found = SOURCE.resolve("org/repo@v1.0:Q4_0", at(hub))
    assert (found.ref, [file.name for file in found.files]) == ("modelscope:org/repo@v1.0:Q4_0", ["a-q4_0.gguf"])
    assert "Revision=v1.0" in found.files[0].url


def test_what_is_not_there() -> None:
    with serve(ModelScope({"x.gguf": b"x"})) as hub:
        with pytest.raises(NotFound, match="no model org/other"):
            SOURCE.resolve("org/other", at(hub))
        with pytest.raises(NotFound, match="has no revision v9"):
            SOURCE.resolve("org/repo@v9", at(hub))
        with pytest.raises(NotFound, match=r"holds no file \*\.bin") as caught:
            SOURCE.resolve("org/repo:*.bin", at(hub))
        assert "x.gguf" in caught.value.hint


def test_a_model_for_some() -> None:
    with serve(ModelScope({"x.gguf": b"x"}, members=("other",))) as hub, pytest.raises(RequestError) as caught:
        SOURCE.resolve("org/repo", at(hub))
    assert "ultralab secrets set modelscope" in caught.value.hint
    assert "ms-secret" not in caught.value.message + caught.value.hint + repr(caught.value.data)


def test_the_next_endpoint() -> None:
    with serve(ModelScope({"x.gguf": WEIGHTS})) as hub:
        (file,) = SOURCE.resolve("org/repo", at(Served("http://127.0.0.1:9"), hub)).files
        assert file.url.startswith(hub.url)
    assert file.mirrors == (file.url.replace(hub.url, "http://127.0.0.1:9"),)


def test_a_list_that_was_cut_is_read_folder_by_folder() -> None:
    files = {f"f{folder}/deep/{number:04}.bin": b"" for folder in range(3) for number in range(1500)}
    with serve(ModelScope({**files, "config.json": b"{}"}, cut=CUT_AT)) as hub:
        found = SOURCE.resolve("org/repo", at(hub))
    assert [file.name for file in found.files] == sorted([*files, "config.json"])
    roots = [asked.query.get("Root", "") for asked in hub.asked if asked.path.endswith("/files")]
    assert sorted(roots) == ["", "", "f0", "f1", "f2"]


def test_a_cut_list_without_folders_is_refused() -> None:
    with (
        serve(ModelScope({f"{number}.bin": b"" for number in range(CUT_AT + 1)})) as hub,
        pytest.raises(RequestError, match="has no end"),
    ):
        SOURCE.resolve("org/repo", at(hub))


def test_folders_that_lead_back_to_themselves_are_refused() -> None:
    files = [{"Path": f"{number}", "Type": "tree"} for number in range(CUT_AT)]
    endless = {"Code": 200, "Success": True, "Data": {"Files": [*files[:5], *([files[0]] * CUT_AT)]}}

    def hub(asked: Asked) -> Reply:
        few = {"Code": 200, "Success": True, "Data": {"Files": files[:5]}}
        return Reply(body=few if asked.query.get("Recursive") == "False" else endless)

    with serve(hub) as served, pytest.raises(RequestError, match="has no end"):
        SOURCE.resolve("org/repo", at(served))
    assert len(served.asked) < 50


def listed(entries: object) -> Reply:
    return Reply(body={"Code": 200, "Success": True, "Data": {"Files": entries}})


GOOD: dict[str, Any] = {"Path": "x.gguf", "Type": "blob", "Size": 1, "Sha256": "a" * 64}


@pytest.mark.parametrize(
    "entries",
    [
        [{**GOOD, "Path": "../x"}],
        [{**GOOD, "Path": "/x"}],
        [{**GOOD, "Path": "a\u202eb"}],
        [{**GOOD, "Path": None}],
        [{**GOOD, "Size": -1}],
        [{**GOOD, "Size": 2.5}],
        [{**GOOD, "Sha256": "abc"}],
        [GOOD, GOOD],
        [5],
        {"a": 1},
    ],
    ids=range(10),
)
def test_listings_that_are_refused_whole(entries: object) -> None:
    with serve(lambda _asked: listed(entries)) as hub, pytest.raises(RequestError, match="is refused") as caught:
        SOURCE.resolve("org/repo", at(hub))
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"Code": 200, "Data": []}'])
def test_answers_that_cannot_be_understood(body: bytes) -> None:
    with serve(lambda _asked: Reply(200, body)) as hub, pytest.raises(FetchFailed, match="cannot be understood"):
        SOURCE.resolve("org/repo", at(hub))


def test_a_server_that_describes_nothing_still_has_its_files() -> None:
    model = ModelScope({"x.gguf": WEIGHTS})
    with serve(lambda asked: Reply(500) if asked.path.endswith("org/repo") else model(asked)) as hub:
        found = SOURCE.resolve("org/repo", at(hub))
    assert (found.licence, found.version, len(found.files)) == ("", COMMIT, 1)


@pytest.mark.parametrize("bad", ["", "repo", "a/b/c", "../x", "org/repo@", "org/repo@-x"])
def test_references_that_are_none(bad: str) -> None:
    with pytest.raises(RequestError) as caught:
        SOURCE.resolve(bad, at(Served("http://127.0.0.1:9")))
    assert "modelscope:org/repo" in caught.value.hint
