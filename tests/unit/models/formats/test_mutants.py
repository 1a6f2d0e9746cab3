"""Thousands of hostile headers: none crashes a reader, none is slow, none makes it hold much."""

from __future__ import annotations

import pytest
from tests.unit.models.formats.mutants import in_a_process, mutants

SEED = 20_261


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_mutants(count: int) -> None:
    outcome = in_a_process(str(count), str(SEED))
    assert outcome.crashes == []
    assert outcome.accepted + outcome.refused == count
    assert outcome.accepted > count // 40  # what changes nothing that matters is still read
    assert outcome.slowest < 1
    assert outcome.growth < 100_000_000


def test_the_same_seed_gives_the_same_mutants() -> None:
    assert list(mutants(60, 5)) == list(mutants(60, 5))
    assert list(mutants(60, 5)) != list(mutants(60, 6))
