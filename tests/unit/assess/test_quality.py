"""Known losses: whose measurement is taken, and that it is always said which model it was measured on."""

from __future__ import annotations

import pytest

from ultralab.assess.advice.quality import OWN, KnownLoss, Loss, known_loss, published, sentence, short, to_data

MINE = Loss("Q4_K_M", "my-model", "F16", "my text", OWN, perplexity_ratio=1.05, agreement=0.9)


def test_an_own_measurement_of_the_model_comes_first() -> None:
    found = known_loss(("My-Model",), "q4_k_m", [MINE])
    assert found == KnownLoss(MINE, transferred=False)
    assert "my-model" in sentence(found)
    assert "+5.0 %" in sentence(found)
    assert "90.0 %" in sentence(found)


def test_a_published_figure_of_the_model_comes_before_an_own_one_of_another() -> None:
    found = known_loss(("GLM-5.1",), "Q4_K_M", [MINE])
    assert found is not None
    assert (found.loss.measured_on, found.transferred) == ("GLM-5.1", False)


def test_a_figure_of_another_model_says_so() -> None:
    found = known_loss(("DeepSeek-R1",), "Q4_K_M")
    assert found is not None
    assert found.transferred
    assert "Llama-3-8B" in sentence(found)
    assert "llama.cpp" in sentence(found)
    assert short(found) == "+2.4 % (Llama-3-8B)"
    data = to_data(found)
    assert data is not None
    assert (data["measured_on"], data["transferred"]) == ("Llama-3-8B", True)


@pytest.mark.parametrize("name", ["UD-Q3_K_XL", "MLX 4-bit", "MXFP4", ""])
def test_a_type_that_nobody_measured_has_no_figure(name: str) -> None:
    """A dynamic mixture is not the plain type of a similar name."""
    assert known_loss(("DeepSeek-R1",), name) is None
    assert short(None) == "–"
    assert to_data(None) is None
    assert sentence(None)


def test_published_tables_fall_with_the_bits() -> None:
    """More bits never cost more, in each table and metric; a typing error would show."""
    order = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
    for model in {loss.measured_on for loss in published()}:
        table = {loss.quantization: loss for loss in published() if loss.measured_on == model}
        ratios = [table[name].perplexity_ratio or 0 for name in order if name in table]
        assert ratios == sorted(ratios)
        assert all(ratio > 1 for ratio in ratios)
        divergences = [one.divergence for name in order if name in table and (one := table[name]).divergence]
        assert divergences == sorted(divergences)
    assert all(loss.source and loss.text and loss.against for loss in published())
