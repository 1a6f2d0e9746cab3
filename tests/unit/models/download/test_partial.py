"""The journal: what it tells after anything that can happen to it."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultralab.kernel.errors import Busy
from ultralab.models.download.blocks import BLOCK
from ultralab.models.download.partial import Identity, Partial, hold, journal_of, read_journal

SIZE = 2 * BLOCK + 1000
CONTENT = random.Random(7).randbytes(SIZE)
KNOWN = Identity(SIZE, "https://host/file", '"etag"')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "key.partial"


@pytest.fixture
def held(path: Path) -> Iterator[int]:
    descriptor = hold(path)
    yield descriptor
    os.close(descriptor)


def test_what_was_written_is_noted(path: Path, held: int) -> None:
    with closing(Partial(path, held, KNOWN)) as partial:
        partial.write(0, CONTENT[:100])
        partial.write(100, CONTENT[100 : BLOCK + 50])  # across a border
        partial.write(2 * BLOCK, CONTENT[2 * BLOCK :])
        assert partial.stored == BLOCK + 50 + 1000
        assert [partial.is_complete(index) for index in range(3)] == [True, False, True]
    noted = read_journal(path)
    assert noted is not None
    assert (noted.size, noted.validator, noted.have) == (SIZE, '"etag"', (BLOCK, 50, 1000))
    assert noted.address_hash == KNOWN.address_hash
    assert noted.crc == tuple(
        zlib.crc32(part) for part in (CONTENT[:BLOCK], CONTENT[BLOCK : BLOCK + 50], CONTENT[2 * BLOCK :])
    )
    assert path.stat().st_size == SIZE


def test_a_block_goes_on_where_another_process_left_it(path: Path, held: int) -> None:
    with closing(Partial(path, held, KNOWN)) as partial:
        partial.write(0, CONTENT[:1000])
    with closing(Partial(path, held, KNOWN, read_journal(path))) as partial:
        assert partial.inherited == {0}
        partial.write(1000, CONTENT[1000:BLOCK])
        assert partial.is_sound(0, partial.read(0))
        assert partial.read(0) == CONTENT[:BLOCK]


def test_bytes_that_a_power_cut_took_are_seen(path: Path, held: int) -> None:
    with closing(Partial(path, held, KNOWN)) as partial:
        partial.write(0, CONTENT[:BLOCK])
        os.pwrite(held, bytes(4096), 8192)
        assert not partial.is_sound(0, partial.read(0))
        assert partial.forget(0) == BLOCK
    noted = read_journal(path)
    assert noted is not None
    assert noted.have == (0, 0, 0)


def test_what_comes_after_the_end_is_dropped(path: Path, held: int) -> None:
    partial = Partial(path, held, KNOWN)
    partial.close()
    partial.close()
    partial.write(0, b"late")
    assert path.read_bytes()[:4] == bytes(4)


def test_one_process_at_a_time(path: Path, held: int) -> None:
    with pytest.raises(Busy):
        hold(path)


def test_a_validator_that_is_no_latin_and_too_long_lengths(path: Path, held: int) -> None:
    for size, number in ((0, 0), (1, 1), (BLOCK, 1), (BLOCK + 1, 2)):
        with closing(Partial(path, held, Identity(size, "模型", "x" * 512))):
            noted = read_journal(path)
        assert noted is not None
        assert (len(noted.have), noted.validator) == (number, "x" * 512)


def test_a_large_file_costs_no_bytes_before_they_come(path: Path, held: int) -> None:
    with closing(Partial(path, held, Identity(400 * 10**9, "a"))):
        assert path.stat().st_blocks * 512 < 10**6
        assert journal_of(path).stat().st_size < 10**6


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_journal_never_claims_what_is_not_there(path: Path, data: st.DataObject) -> None:
    descriptor = hold(path)
    try:
        with closing(Partial(path, descriptor, KNOWN)) as partial:
            partial.write(0, CONTENT[: BLOCK + 7])
    finally:
        os.close(descriptor)
    good = journal_of(path).read_bytes()
    wrong = bytearray(good)
    for _number in range(data.draw(st.integers(1, 3))):
        wrong[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(good) + 1))
    journal_of(path).write_bytes(bytes(wrong[:cut]) if cut <= len(good) else bytes(wrong) + b"x")
    noted = read_journal(path)
    assert noted is None or all(have in (0, true) for have, true in zip(noted.have, (BLOCK, 7, 0), strict=True))
