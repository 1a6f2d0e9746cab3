"""Trouble that lasts is told once, and now and then."""

from __future__ import annotations

from ultralab.daemon.trouble import AGAIN_SECONDS, told_once
from ultralab.system import clock

BEGUN = 1_795_000_000.0


def test_a_sentence_is_told_when_it_changes_and_after_ten_minutes() -> None:
    said: list[str] = []
    moment = BEGUN
    tell = told_once(said.append, lambda: moment)
    script = (
        (0, "full"), (2, "full"), (4, "locked"), (6, "full"), (8, "full"),
        (6 + AGAIN_SECONDS - 1, "full"), (6 + AGAIN_SECONDS, "full"), (7 + AGAIN_SECONDS, "full"),
        (-90_000, "full"), (-89_999, "full"),
    )  # fmt: skip
    for seconds, sentence in script:
        moment = BEGUN + seconds
        tell(sentence)
    told = ((0, "full"), (4, "locked"), (6, "full"), (6 + AGAIN_SECONDS, "full"), (-90_000, "full"))
    assert said == [f"{clock.local_iso(BEGUN + seconds)} {sentence}" for seconds, sentence in told]
