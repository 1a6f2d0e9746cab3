"""The geometry of blocks, as properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ultralab.models.download import blocks
from ultralab.models.download.blocks import BLOCK, Run


@st.composite
def states(draw: st.DrawFn) -> tuple[int, list[int], set[int], int]:
    """A size, what is there of each block, which blocks are taken, how many connections there are."""
    size = draw(st.integers(1, 40 * BLOCK))
    number = blocks.count(size)
    shares = draw(st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=number, max_size=number))
    have = [int(blocks.length(size, index) * share) for index, share in enumerate(shares)]
    claimed = draw(st.sets(st.integers(0, number - 1)))
    return size, have, claimed, draw(st.integers(1, 16))


@given(states())
def test_a_run_is_missing_bytes_that_nobody_has(state: tuple[int, list[int], set[int], int]) -> None:
    size, have, claimed, connections = state
    free = [index for index, there in enumerate(have) if index not in claimed and there < blocks.length(size, index)]
    run = blocks.next_run(have, size, claimed, connections)
    if run is None:
        assert free == []
        return
    assert run.first == free[0]
    assert set(run.blocks) <= set(free)
    assert 1 <= len(run.blocks) <= blocks.LONGEST
    assert run.start == run.first * BLOCK + have[run.first]
    assert run.end == min(size, (run.last + 1) * BLOCK)
    assert not any(have[index] for index in run.blocks[1:])


@given(st.integers(1, 60 * BLOCK), st.integers(1, 8))
def test_runs_cover_a_file_once(size: int, connections: int) -> None:
    have, covered = [0] * blocks.count(size), 0
    while (run := blocks.next_run(have, size, set(), connections)) is not None:
        assert run.start == covered
        covered = run.end
        for index in run.blocks:
            have[index] = blocks.length(size, index)
    assert covered == size


def test_an_empty_file_has_nothing_to_fetch() -> None:
    assert (blocks.count(0), blocks.next_run([], 0, set(), 4)) == (0, None)


def test_the_end_is_shared_among_connections() -> None:
    assert blocks.next_run([0] * 100, 100 * BLOCK, set(), 4) == Run(0, 7, 0, 8 * BLOCK)
    assert blocks.next_run([BLOCK] * 92 + [0] * 8, 100 * BLOCK, set(), 4, floor=92) == Run(
        92, 92, 92 * BLOCK, 93 * BLOCK
    )
