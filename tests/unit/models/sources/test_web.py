"""Files at addresses, and the pages that people copy."""

from __future__ import annotations

import pytest
from tests.hub_servers import COMMIT, HuggingFace, ModelScope, Reply, serve

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError, Unsupported
from ultralab.models.sources.base import Access, RemoteFile, Resolution
from ultralab.models.sources.pages import reference_behind
from ultralab.models.sources.web import HTTP, HTTPS


def test_a_file() -> None:
    with serve(lambda _asked: Reply(body=b"w" * 1000, headers={"ETag": '"abc"'})) as site:
        rest = f"{site.url.removeprefix('http:')}/a/%E6%A8%A1%20x-q4_0.gguf?v=1"
        found = HTTP.resolve(f"{rest}#part")
    url = f"http:{rest}"
    files = (RemoteFile("模 x-q4_0.gguf", url, 1000, ""),)
    assert found == Resolution(ref=url, name="模 x-q4_0", version="abc", licence="", homepage="", files=files)
    assert [asked.headers.get("range") for asked in site.asked] == ["bytes=0-0"]


def test_a_server_without_parts_is_not_read_to_its_end() -> None:
    def whole(_asked: object) -> Reply:
        return Reply(200, {"x": "y" * 5_000_000}, {"ETag": 'W/"weak"'})

    with serve(whole) as site:
        found = HTTP.resolve(f"{site.url.removeprefix('http:')}/m.gguf")
    assert (found.files[0].size, found.version) == (5_000_009, "")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="m-q8_0.gguf"', "m-q8_0.gguf"),
        ("attachment; filename*=UTF-8''%E6%A8%A1%E5%9E%8B.gguf; filename=x.gguf", "模型.gguf"),
        ("inline", "download"),
        ("attachment; filename=" + "x" * 5000, "download"),
    ],
)
def test_the_name_that_the_server_gives(header: str, name: str) -> None:
    with serve(lambda _asked: Reply(body=b"x", headers={"Content-Disposition": header})) as site:
        assert HTTP.resolve(f"{site.url.removeprefix('http:')}/download").files[0].name == name


def test_a_redirect_has_the_name_where_the_address_has_none() -> None:
    with serve(
        lambda asked: Reply(302, b"", {"Location": "/f/m.gguf"}) if asked.path == "/get" else Reply(body=b"x")
    ) as site:
        found = HTTP.resolve(f"{site.url.removeprefix('http:')}/get")
    assert (found.files[0].name, found.files[0].url) == ("m.gguf", f"{site.url}/get")


@pytest.mark.parametrize("name", ["../x.gguf", "/etc/x", "a\\b", "..", "a%1b[31mb"])
def test_names_that_are_unsafe(name: str) -> None:
    header = f"attachment; filename*=UTF-8''{name}".replace("\\", "%5C").replace("/", "%2F")
    with (
        serve(lambda _asked: Reply(body=b"x", headers={"Content-Disposition": header})) as site,
        pytest.raises(RequestError, match="unsafe name") as caught,
    ):
        HTTP.resolve(f"{site.url.removeprefix('http:')}/m.gguf")
    assert caught.value.message.isprintable()


def test_a_path_that_hides_a_folder_is_unsafe() -> None:
    with serve(lambda _asked: Reply(body=b"x")) as site, pytest.raises(RequestError, match="unsafe name"):
        HTTP.resolve(f"{site.url.removeprefix('http:')}/a%2F..%2Fm.gguf")


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(404), NotFound, "no file at"),
        (Reply(401), RequestError, "not open to everybody"),
        (Reply(500), FetchFailed, "answered 500"),
        (Reply(418), FetchFailed, "answered 418"),
        (Reply(200, b"<html>", {"Content-Type": "text/html; charset=utf-8"}), Unsupported, "is a page"),
        (Reply(302, b"", {"Location": "/m.gguf"}), RequestError, "leads from one address to the next"),
        (Reply(200, b"x", {"Content-Encoding": "gzip"}), FetchFailed, "cannot be understood"),
    ],
    ids=range(7),
)
def test_servers_that_give_no_file(reply: Reply, error: type[Exception], message: str) -> None:
    with serve(lambda _asked: reply) as site, pytest.raises(error, match=message):
        HTTP.resolve(f"{site.url.removeprefix('http:')}/m.gguf")


def test_a_size_that_cannot_be_is_refused() -> None:
    absurd = {"Content-Range": "bytes 0-0/9999999999999999999"}
    with serve(lambda _asked: Reply(206, b"x", absurd)) as site, pytest.raises(RequestError, match="impossible size"):
        HTTP.resolve(f"{site.url.removeprefix('http:')}/m.gguf")


def test_an_empty_file_is_a_file() -> None:
    with serve(lambda _asked: Reply(body=b"")) as site:
        assert HTTP.resolve(f"{site.url.removeprefix('http:')}/m.gguf").files[0].name == "m.gguf"


@pytest.mark.parametrize(
    "rest",
    [
        "//user:hunter2@host/m.gguf",
        "//hunter2@host/m.gguf",
        "//host/m?token=hunter2",
        "//host/m?X-Amz-Signature=hunter2",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(rest: str) -> None:
    with pytest.raises(RequestError, match="holds a password or a token") as caught:
        HTTPS.resolve(rest)
    assert "hunter2" not in caught.value.message + caught.value.hint + repr(caught.value.data)


@pytest.mark.parametrize(
    "rest",
    ["", "//", "//host", "//host/", "host/x", "//[x/m", "//h:99999/m", "//h/a b", "//h/\x1b", "//h/" + "x" * 5000],
)
def test_addresses_that_are_none(rest: str) -> None:
    with pytest.raises(RequestError, match="is not the address of a file") as caught:
        HTTPS.resolve(rest)
    assert caught.value.message.isprintable()


HUB = "https://huggingface.co/org/repo"
SCOPE = "https://modelscope.cn/models/org/repo"


@pytest.mark.parametrize(
    ("url", "ref"),
    [
        (HUB, "hf:org/repo"),
        (f"{HUB}/tree/main", "hf:org/repo"),
        (f"{HUB}/tree/v1/sub/folder", "hf:org/repo@v1:sub/folder/*"),
        (f"{HUB}/blob/main/a/x%20y.gguf", "hf:org/repo:a/x y.gguf"),
        (f"{HUB}/resolve/refs%2Fpr%2F1/x.gguf?download=true", "hf:org/repo@refs/pr/1:x.gguf"),
        ("https://hf.co/gpt2/resolve/main/model.safetensors", "hf:gpt2:model.safetensors"),
        ("https://huggingface.co/docs/hub", ""),
        (SCOPE, "modelscope:org/repo"),
        (f"{SCOPE}/summary", "modelscope:org/repo"),
        (f"{SCOPE}/resolve/master/x.gguf", "modelscope:org/repo:x.gguf"),
        (f"{SCOPE}/file/view/v2/x.gguf", "modelscope:org/repo@v2:x.gguf"),
        ("https://modelscope.cn/docs/x", ""),
        ("https://github.com/o/r/releases/download/v1/x.gguf", "github:o/r@v1:x.gguf"),
        ("https://github.com/o/r/raw/main/x.gguf", ""),
        ("https://example.org/org/repo/resolve/main/x.gguf", ""),
    ],
)
def test_pages(url: str, ref: str) -> None:
    assert reference_behind(url, {}) == ref


def test_a_page_of_something_else() -> None:
    with pytest.raises(RequestError, match="is no model"):
        reference_behind("https://huggingface.co/datasets/org/data", {})


def test_a_page_of_the_user_s_own_hubs() -> None:
    with serve(HuggingFace({"x.gguf": b"x"})) as hub, serve(ModelScope({"y.gguf": b"y"})) as scope:
        access = Access(endpoints={"hf": (hub.url,), "modelscope": (scope.url,)})
        first = HTTP.resolve(f"{hub.url.removeprefix('http:')}/org/repo/blob/main/x.gguf", access)
        second = HTTP.resolve(f"{scope.url.removeprefix('http:')}/models/org/repo/summary", access)
    assert (first.ref, first.version) == ("hf:org/repo:x.gguf", COMMIT)
    assert (second.ref, [file.name for file in second.files]) == ("modelscope:org/repo", ["y.gguf"])
