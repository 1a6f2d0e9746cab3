"""What a quantization is known to cost: the lab's own measurements first, else published figures with their source.

A loss was measured on one model. It is shown with that model's name and never passed on as a property of another one:
quantization hurts small and densely trained models more (llama.cpp's tables: Q2_K costs Llama-2-70B 9 % of perplexity,
Llama-3-8B 39 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from ultralab.kernel.language import _

OWN: Final = "own"
"""The source of a figure that was measured in this lab."""


@dataclass(frozen=True)
class Loss:
    """What a quantization cost the model ``measured_on``, against ``against``, on ``text``; None where not measured.

    ``perplexity_ratio``: 1.02 is 2 % more. ``divergence``: mean Kullback-Leibler, nats per token. ``agreement``: the part
    of tokens whose most probable successor is the same. ``source``: where it is published, or ``own``.
    """

    quantization: str
    measured_on: str
    against: str
    text: str
    source: str
    perplexity_ratio: float | None = None
    divergence: float | None = None
    agreement: float | None = None

    @property
    def is_own(self) -> bool:
        """Whether it was measured in this lab."""
        return self.source == OWN


@dataclass(frozen=True)
class KnownLoss:
    """A loss as it may be said of ``model``: ``transferred`` where it was measured on another model."""

    loss: Loss
    transferred: bool


@lru_cache(maxsize=1)
def published() -> tuple[Loss, ...]:
    """The published figures."""
    import yaml

    text = files("ultralab.assess.advice").joinpath("quality_figures.yaml").read_text(encoding="utf-8")
    found: list[Loss] = []
    for table in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # noqa: S506 - both are safe
        for name, figures in table["figures"].items():
            found.append(
                Loss(
                    name, table["model"], table["against"], table["text"], table["source"],
                    figures.get("ratio"), figures.get("kld"), figures.get("same_top"),
                )
            )  # fmt: skip
    return tuple(found)


def known_loss(model_names: Sequence[str], quantization: str, own: Sequence[Loss] = ()) -> KnownLoss | None:
    """The best figure for a model that goes by these names: own of this model, published of it, own of another, published
    of another (the first table that has the type). None where nobody measured that type.
    """
    names = {name.casefold() for name in model_names}
    fitting = [loss for loss in (*own, *published()) if _same_type(loss.quantization, quantization)]
    for wants_same in (True, False):
        for loss in fitting:
            if (loss.measured_on.casefold() in names) is wants_same:
                return KnownLoss(loss, transferred=not wants_same)
    return None


def sentence(known: KnownLoss | None) -> str:
    """The loss for people, with the model it was measured on and the source."""
    if known is None:
        return _("nobody measured it, as far as this lab knows")
    loss, parts = known.loss, []
    if loss.perplexity_ratio is not None:
        parts.append(_("perplexity {percent:+.1f} %").format(percent=100 * (loss.perplexity_ratio - 1)))
    if loss.agreement is not None:
        parts.append(_("the same next token in {percent:.1f} %").format(percent=100 * loss.agreement))
    if loss.divergence is not None:
        parts.append(_("divergence {value:.3f}").format(value=loss.divergence))
    figures = ", ".join(parts)
    if loss.is_own:
        return _("{figures}, measured here on {model}").format(figures=figures, model=loss.measured_on)
    return _("{figures}, measured on {model} ({source})").format(
        figures=figures, model=loss.measured_on, source=loss.source
    )


def short(known: KnownLoss | None) -> str:
    """The same for a cell of a table: the first figure and the model."""
    if known is None:
        return "–"
    loss = known.loss
    if loss.perplexity_ratio is not None:
        figure = f"{100 * (loss.perplexity_ratio - 1):+.1f} %"
    elif loss.agreement is not None:
        figure = f"= {100 * loss.agreement:.1f} %"
    else:
        figure = f"{loss.divergence:.3f}" if loss.divergence is not None else "–"
    return f"{figure} ({loss.measured_on})"


def to_data(known: KnownLoss | None) -> dict[str, Any] | None:
    """The loss with stable keys, null where nothing is known."""
    if known is None:
        return None
    loss = known.loss
    return {
        "perplexity_ratio": loss.perplexity_ratio,
        "divergence": loss.divergence,
        "agreement": loss.agreement,
        "measured_on": loss.measured_on,
        "transferred": known.transferred,
        "against": loss.against,
        "text": loss.text,
        "source": loss.source,
    }


def _same_type(measured: str, asked: str) -> bool:
    """Whether a figure for one type is one for the other: the names are alike but for letters' case. A dynamic mixture
    (``UD-Q4_K_XL``) is not the plain type.
    """
    return measured.casefold() == asked.casefold()
