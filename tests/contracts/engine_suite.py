"""What every engine owes to those above it: the obligations of ``engines.base`` and ``engines.host``, as tests.

Subclass and give the class a class-scoped fixture ``case`` (:class:`EngineCase`)::

    class TestParrot(HostedSuite, ScoringSuite, SamplingSuite, EmbeddingSuite, ToolSuite): ...

:class:`EngineSuite` is for every engine, those that are not ours included (with :class:`SecretSuite` where their server
asks for a key); :class:`HostedSuite` for those whose process we start. The other suites go with the capabilities:
a test fails where they do not agree with what the engine says it can do.
"""

from __future__ import annotations

from tests.contracts.suite.abilities import EmbeddingSuite, ScoringSuite, ToolSuite
from tests.contracts.suite.case import (
    HELLO,
    TEXT,
    Answer,
    EngineCase,
    another,
    answer,
    continued,
    damaged_copy,
    is_gone,
)
from tests.contracts.suite.loading import LoadingSuite
from tests.contracts.suite.naming import NamingSuite
from tests.contracts.suite.processes import ProcessSuite, child_of
from tests.contracts.suite.requests import RequestSuite, SamplingSuite, SecretSuite
from tests.contracts.suite.streaming import CHINESE, CharacterSuite, StreamingSuite
from tests.contracts.suite.tokens import TokenSuite

__all__ = [
    "CHINESE",
    "HELLO",
    "TEXT",
    "Answer",
    "CharacterSuite",
    "EmbeddingSuite",
    "EngineCase",
    "EngineSuite",
    "HostedSuite",
    "SamplingSuite",
    "ScoringSuite",
    "SecretSuite",
    "ToolSuite",
    "another",
    "answer",
    "child_of",
    "continued",
    "damaged_copy",
    "is_gone",
]


class EngineSuite(NamingSuite, StreamingSuite, RequestSuite):
    """Every engine."""

    def test_its_capabilities_are_put_to_the_test(self, case: EngineCase) -> None:
        suites = {"scoring": ScoringSuite, "embeddings": EmbeddingSuite, "tools": ToolSuite}
        tested = {name for name, suite in suites.items() if issubclass(type(self), suite)}
        assert tested == set(suites) & case.engine.capabilities


class HostedSuite(EngineSuite, SecretSuite, TokenSuite, LoadingSuite, ProcessSuite):
    """An engine whose process we start."""

    def test_it_can_score(self, case: EngineCase) -> None:
        assert "scoring" in case.engine.capabilities
        assert case.engine.formats
