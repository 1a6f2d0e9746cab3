"""How many requests a far model's header costs: counted at the server that is asked."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.fault_server import Fault, Site, claiming, hang_up_after, serve, stall_after, status
from tests.gguf_maker import ARR, STR, U32, Tensor, entry, gguf_bytes, split_model, text
from tests.safetensors_maker import safetensors_bytes

from ultralab.kernel.errors import FetchFailed
from ultralab.models import bundles
from ultralab.models.far.files import FIRST
from ultralab.models.formats.base import Bundle, Limits
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.models.formats.safetensors import FORMAT as SAFETENSORS
from ultralab.models.sources.base import RemoteFile

WEIGHTS = 40_000_000
MARGIN = 8_000_000
"""What loopback's buffers may hold when a connection is closed; the file goes on far beyond."""


def texts(key: str, count: int, width: int) -> bytes:
    """A list of texts, made fast."""
    return text(key) + struct.pack("<IIQ", ARR, STR, count) + text("x" * width) * count


def header(tokens: int, merges: int, tensors: int, widths: tuple[int, int]) -> bytes:
    """A header with a vocabulary: as many texts and tensors as the named models have, as long on average."""
    keys = [
        entry("general.architecture", STR, "llama"),
        entry("llama.block_count", U32, 1),
        entry("tokenizer.ggml.model", STR, "gpt2"),
        texts("tokenizer.ggml.tokens", tokens, widths[0]),
        text("tokenizer.ggml.token_type") + struct.pack("<IIQ", ARR, 5, tokens) + bytes(4 * tokens),
        texts("tokenizer.ggml.merges", merges, widths[1]),
        entry("tokenizer.chat_template", STR, "x" * 4000),
    ]
    named = [Tensor(f"blk.{index}.ffn_down_exps.weight", (32, 4), "Q8_0") for index in range(tensors)]
    return gguf_bytes(keys, named, with_data=False)


# Vocabularies from the models' tokenizer.json; sizes of the headers of their usual GGUF files.
KNOWN = {
    "Llama 3, 7.8 MB": header(128_256, 280_147, 291, (7, 10)),
    "Qwen3, 5.9 MB": header(151_936, 151_387, 399, (6, 9)),
    "DeepSeek-V3, 5 MB": header(129_280, 127_741, 1_086, (7, 9)),
    "gpt-oss, 13 MB": header(201_088, 446_189, 459, (8, 11)),
}


@contextmanager
def far(site: Site, *, limits: Limits | None = None, name: str = "model.gguf") -> Iterator[Bundle]:
    with (
        serve(site),
        bundles.far([RemoteFile(name, site.url, len(site.content), "")], "far", limits=limits or Limits()) as bundle,
    ):
        yield bundle


def asked_bytes(site: Site) -> list[tuple[int, int]]:
    return [(int(first), int(last)) for span in site.asked for first, last in [span[6:].split("-")]]


@pytest.mark.parametrize("model", KNOWN)
def test_a_usual_header_costs_two_requests_and_ends_where_it_ends(model: str) -> None:
    content = KNOWN[model]
    site = Site(content + bytes(WEIGHTS))
    with far(site) as bundle:
        assert FORMAT.recognises(bundle)
        first = read_gguf(bundle.items[0])
        assert read_gguf(bundle.items[0]) == first  # what was read is kept
        with bundle.items[0].open() as stream:
            assert stream.read(len(content)) == content
    assert first.counts["tokenizer.ggml.tokens"] > 100_000
    assert [start for start, _end in asked_bytes(site)] == [0, FIRST]
    assert site.sent <= len(content) + MARGIN


def test_a_small_header_costs_one() -> None:
    files = split_model(3)
    for content in files.values():
        site = Site(content + bytes(FIRST))
        with far(site) as bundle:
            assert FORMAT.recognises(bundle)
            read_gguf(bundle.items[0], weights=False)
        assert asked_bytes(site) == [(0, FIRST - 1)]


def test_a_header_of_26_mb_costs_three() -> None:
    content = header(262_144, 900_000, 400, (8, 13))
    assert 20_000_000 < len(content) < 32_000_000
    site = Site(content + bytes(WEIGHTS))
    with far(site) as bundle:
        read_gguf(bundle.items[0])
    assert len(site.asked) == 3


@pytest.mark.parametrize(
    "fault", [hang_up_after(300_000), hang_up_after(0), status(503), claiming("bytes {start}-{last}/*")]
)
def test_a_request_that_breaks_off_is_taken_up_where_it_was(fault: Fault) -> None:
    content = KNOWN["Qwen3, 5.9 MB"]
    site = Site(content + bytes(WEIGHTS))
    with far(site) as bundle:
        FORMAT.recognises(bundle)
        site.faults.append(fault)
        header = read_gguf(bundle.items[0])
    assert header.counts["tokenizer.ggml.merges"] == 151_387
    assert len(site.asked) <= 4


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (claiming("bytes 7-99/100"), "another part"),
        (claiming("bytes {start}-{last}/99"), "another part"),
        (claiming(code=200), "instead of"),
        (status(404), "404"),
        (status(416), "shorter"),
    ],
)
def test_a_server_that_lies_when_it_is_asked_for_more(fault: Fault, message: str) -> None:
    site = Site(KNOWN["Qwen3, 5.9 MB"] + bytes(WEIGHTS))
    with far(site) as bundle:
        FORMAT.recognises(bundle)
        site.always = fault
        with pytest.raises(Exception, match=message) as caught:
            read_gguf(bundle.items[0])
    assert getattr(caught.value, "hint", "")


def test_a_file_that_changes_before_more_is_asked_for() -> None:
    site = Site(KNOWN["Qwen3, 5.9 MB"] + bytes(WEIGHTS), etag='"a"')
    with far(site) as bundle:
        FORMAT.recognises(bundle)
        site.etag = '"b"'
        with pytest.raises(FetchFailed, match="changed while it was read"):
            read_gguf(bundle.items[0])


def test_the_budget_bounds_what_is_asked_for_and_unused_bytes_are_given_back() -> None:
    content = KNOWN["Qwen3, 5.9 MB"]
    site = Site(content + bytes(WEIGHTS))
    with far(site, limits=Limits(header_bytes=len(content) + FIRST)) as bundle:
        FORMAT.recognises(bundle)
        read_gguf(bundle.items[0])
        with bundle.items[0].open() as stream:  # a far part of the file: as many bytes are left as were not needed
            stream.seek(len(content) + 20_000_000)
            assert stream.read(1000) == bytes(1000)
    assert len(site.asked) == 3
    assert max(last - first for first, last in asked_bytes(site)) <= len(content) + FIRST


def test_a_budget_that_is_too_small_is_told() -> None:
    site = Site(KNOWN["gpt-oss, 13 MB"] + bytes(WEIGHTS))
    with far(site, limits=Limits(header_bytes=1_000_000)) as bundle:
        FORMAT.recognises(bundle)
        with pytest.raises(Exception, match=r"need more than|passes"):
            read_gguf(bundle.items[0])
    assert sum(last - first + 1 for first, last in asked_bytes(site)) <= 1_000_000 + FIRST


def test_who_has_enough_does_not_wait_for_the_rest() -> None:
    content = KNOWN["Qwen3, 5.9 MB"]
    site = Site(content + bytes(WEIGHTS))
    with far(site) as bundle:
        FORMAT.recognises(bundle)
        site.always = stall_after(len(content) - FIRST)
        read_gguf(bundle.items[0])  # a reader that wants the whole part would wait for 60 s
    assert len(site.asked) == 2


def test_shards_of_safetensors_cost_what_they_did() -> None:
    tensors = {f"model.layers.0.mlp.experts.{index}.down_proj.weight": ("F32", (4, 4)) for index in range(900)}
    content = safetensors_bytes(tensors)
    (length,) = struct.unpack_from("<Q", content)
    assert len(json.loads(content[8 : 8 + length])) == 900
    assert length < FIRST
    site = Site(content)
    with far(site, name="model.safetensors") as bundle:
        SAFETENSORS.read_header(bundle)
    assert asked_bytes(site) == [(0, min(FIRST, len(content)) - 1)]
