"""A request's body as it comes over the wire: what is read, and what is refused."""

from __future__ import annotations

import io
from email.message import Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralab.engines.serving import receive
from ultralab.engines.serving.answer import Gone
from ultralab.engines.serving.fields import Refused


def _headers(**values: str) -> Message:
    found = Message()
    for name, value in values.items():
        for one in value.split("|"):
            found[name.replace("_", "-")] = one
    return found


CHUNKED = _headers(Transfer_Encoding="chunked")


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.sampled_from(["", ";a=b", " ; x"]), st.booleans())
def test_chunks_are_put_together(parts: list[bytes], more: str, trailer: bool) -> None:
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(part), more.encode(), part) for part in parts)
    wire += b"0\r\n" + (b"X-Sum: 1\r\n" if trailer else b"") + b"\r\n"
    source = io.BytesIO(wire + b"GET / HTTP/1.1")
    assert receive.content(CHUNKED, source, needed=True) == b"".join(parts)
    assert source.read() == b"GET / HTTP/1.1"


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(wire: bytes) -> None:
    try:
        assert isinstance(receive.content(CHUNKED, io.BytesIO(wire), needed=True), bytes)
    except (Refused, Gone):
        return


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"-5\r\nhello\r\n0\r\n\r\n", 400),
        (b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (b"\r\n", 400),
        (b"5" * 5000, 400),
        (b"3\r\nhello\r\n0\r\n\r\n", 400),
        (b"4000001\r\n", 413),
        (b"FFFFFFFFFFFF\r\n", 413),
        (b"0\r\n" + b"a: b\r\n" * 200, 400),
    ],
)
def test_broken_chunks_are_refused(wire: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        receive.content(CHUNKED, io.BytesIO(wire), needed=True)
    assert caught.value.status == status


@pytest.mark.parametrize("wire", [b"", b"5\r\nhel", b"5\r\nhello\r\n"])
def test_chunks_that_end_too_soon(wire: bytes) -> None:
    with pytest.raises(Gone):
        receive.content(CHUNKED, io.BytesIO(wire), needed=True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (_headers(Content_Length="5", Transfer_Encoding="chunked"), 400),
        (_headers(Transfer_Encoding="gzip, chunked"), 400),
        (_headers(Content_Length="5|6"), 400),
        (_headers(Content_Length="+5"), 400),
        (_headers(Content_Length="\u0665"), 400),
        (_headers(Content_Length="9" * 5000), 413),
        (_headers(), 411),
    ],
)
def test_a_length_that_is_not_clear_is_refused(headers: Message, status: int) -> None:
    with pytest.raises(Refused) as caught:
        receive.content(headers, io.BytesIO(b"hello"), needed=True)
    assert caught.value.status == status


def test_lengths_that_agree_are_one() -> None:
    assert receive.content(_headers(Content_Length="5|5"), io.BytesIO(b"hello there"), needed=True) == b"hello"
    assert receive.content(_headers(), io.BytesIO(b"x"), needed=False) == b""
    with pytest.raises(Gone):
        receive.content(_headers(Content_Length="50"), io.BytesIO(b"hello"), needed=True)
