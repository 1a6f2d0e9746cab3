"""From matplotlib's SVG to ours: real words, the page's colours and fonts, nothing that names another address.

Matplotlib draws place-holders instead of words: it would measure (and warn about) glyphs of fonts that only the
reader's browser has, and read ``$`` as mathematics. It draws stand-in colours, each of which is one role.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final

from ultralab.kernel.text import display_width

INK: Final = "#010203"
MUTED: Final = "#010204"
GRID: Final = "#010205"
BACKGROUND: Final = "#010206"
MAIN: Final = "#010207"
REFERENCE: Final = "#010208"
BAND: Final = "#010209"

_LIGHT: Final = {
    INK: "#1c2430", MUTED: "#5a6675", GRID: "#e3e7ed", BACKGROUND: "#ffffff",
    MAIN: "#2563c9", REFERENCE: "#b4540a", BAND: "#c9d8f3",
}  # fmt: skip
_PROPERTIES: Final = {
    INK: "--ink", MUTED: "--muted", GRID: "--grid", BACKGROUND: "--card",
    MAIN: "--main", REFERENCE: "--reference", BAND: "--band",
}  # fmt: skip
_FONTS: Final = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'PingFang SC', 'Noto Sans CJK SC', 'Microsoft YaHei', sans-serif"
)
_FAMILY: Final = re.compile(r"(font-family: |font: [^;\"]*?px )[^;\"]*")
_LABEL: Final = re.compile(r'(?<=style=")([^"]*font-size: 11\.5px[^"]*)(?=")')
"""The names of points: they get a halo, so that grid lines do not run through them."""


class Names:
    """The words of one drawing. Calling it gives a place-holder as wide as the words, plain ASCII."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def __call__(self, words: str) -> str:
        """A place-holder for these words."""
        self._words.append(words)
        return f"@{len(self._words) - 1}{'x' * max(0, display_width(words) - 4)}@"

    def restore(self, svg: str) -> str:
        """The drawing with its words, escaped."""
        return re.sub(r"@(\d+)x*@", lambda match: html.escape(self._words[int(match[1])]), svg)


def standalone(svg: str, names: Names, title: str) -> str:
    """A file of its own: plain colours on white, whatever looks at it."""
    body = _cleaned(svg, _LIGHT)
    body = re.sub(_FAMILY, rf"\g<1>{_FONTS}", body)
    paper = f'<title>{html.escape(title)}</title><rect width="100%" height="100%" fill="{_LIGHT[BACKGROUND]}"/>'
    return names.restore(re.sub(r"(<svg [^>]*>)", lambda match: match[1] + paper, body, count=1)) + "\n"


def inline(svg: str, names: Names, key: str, title: str) -> str:
    """A part of an HTML page: the page's colours and fonts, ids that no other picture has, no addresses."""
    body = _cleaned(svg, {sentinel: f"var({name})" for sentinel, name in _PROPERTIES.items()})
    body = re.sub(_FAMILY, r"\g<1>var(--font)", body)
    body = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", body)
    body = re.sub(r'<style type="text/css">.*?</style>', "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*</defs>", "", body)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r'id="', f'id="{key}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", body)
    opening = f'<svg role="img" aria-label="{html.escape(title)}" '
    return names.restore(re.sub(r"<svg (?:width=\"[^\"]*\" |height=\"[^\"]*\" )*", opening, body, count=1))


def _cleaned(svg: str, colours: Mapping[str, str]) -> str:
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r'(<svg [^>]*?) ?(width|height)="[\d.]+pt"', r"\1", body)
    body = re.sub(r'(<svg [^>]*?) ?(width|height)="[\d.]+pt"', r"\1", body)
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
    body = re.sub(_LABEL, rf"\1; stroke: {BACKGROUND}; stroke-width: 3px; paint-order: stroke", body)
    for sentinel, colour in colours.items():
        body = body.replace(sentinel, colour)
    return body
