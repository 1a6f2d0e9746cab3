"""What the judge makes of two answers."""

from __future__ import annotations

from ultralab.models.conversion.judge import (
    NEAR_TIE,
    PROBES,
    Answer,
    Difference,
    compare,
    cut_otherwise,
    cutting_refusal,
    refusal,
    runner_for,
)

SOURCE = Answer(
    [[4, 5, 6, 7], [1, 2, 8, 9]], [1, 2], [[[5, 1, 2.0], [6, 2, 0.01], [7, 3, 1.0]], [[8, 4, 1.0], [9, 5, 1.0]]]
)


def answer(*tokens: list[int]) -> Answer:
    return Answer(SOURCE.sequences, SOURCE.starts, [[[float(token), -1.0, 0.0] for token in one] for one in tokens])


def test_the_same() -> None:
    verdict = compare(SOURCE, answer([5, 6, 7], [8, 9]))
    assert (verdict.same, verdict.words) == (True, "5/5 greedy tokens equal")


def test_a_near_tie_is_no_difference() -> None:
    verdict = compare(SOURCE, answer([5, 2, 7], [8, 9]))
    assert (verdict.same, verdict.words) == (True, "4/5 greedy tokens equal, 1 near ties")


def test_another_choice_is_a_difference_even_where_the_source_nearly_tied() -> None:
    verdict = compare(SOURCE, answer([5, 11, 7], [8, 9]))
    assert verdict.first == Difference(0, 1, (4, 5), 6, 11)
    assert not verdict.same


def test_the_second_choice_is_a_difference_where_the_first_led() -> None:
    verdict = compare(SOURCE, answer([5, 6, 7], [8, 5]))
    assert verdict.first == Difference(1, 1, (1, 2, 8), 9, 5)
    assert (verdict.equal, verdict.ties, verdict.tokens, verdict.same) == (4, 0, 5, False)
    error = refusal("tiny:f16", verdict)
    assert "text 2, token 2, after [1, 2, 8]: 9 from the source, 5 from the result" in error.message
    assert error.hint


def test_where_the_source_tells_no_lead_the_results_does() -> None:
    source = Answer([[4, 5, 6]], [1], [[[5, -1, 0.0], [6, -1, 0.0]]])
    for lead, ties in ((0.01, 1), (0.2, 0)):
        verdict = compare(source, Answer([[4, 5, 6]], [1], [[[5, 1, 3.0], [9, 6, lead]]]))
        assert (verdict.equal, verdict.ties, verdict.share) == (1, ties, (1 + ties) / 2)
    assert compare(source, Answer([[4, 5, 6]], [1], [[[5, 1, 3.0], [9, 7, 0.01]]])).ties == 0


def test_another_tokenizer_is_noticed() -> None:
    cut = [[number] for number in range(len(PROBES))]
    source = Answer([], [], [], cut)
    assert cut_otherwise(source, Answer([], [], [], cut)) == ""
    assert cut_otherwise(source, Answer([], [], [], [*cut[:-1], [0, 0]])) == PROBES[-1]
    assert "how a text becomes tokens" in cutting_refusal("tiny:f16", PROBES[-1]).message


def test_nothing_asked_is_nothing_shown() -> None:
    assert not compare(Answer([], [], []), Answer([], [], [])).same
    assert 0 < NEAR_TIE < 0.1


def test_runners() -> None:
    assert runner_for("gguf") == ("gguf", "")
    assert runner_for("awq") == runner_for("safetensors") == runner_for("mlx") == ("mlx", "")
    assert runner_for("gptq") == ("", "nothing here runs gptq")
