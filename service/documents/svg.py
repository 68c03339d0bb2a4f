"""SVG as text: elements, words in them, and what makes both safe.

The drawing stands on presentation attributes alone: a strict content policy would drop inline styles.
"""

from __future__ import annotations

import re
from html import escape

INK = "#1b1b1b"  # of words that ask for no other colour


def tag(name: str, *content: str, **attributes: str | float | None) -> str:
    """An element; `content` is markup already escaped, attributes are escaped here, None leaves one out."""
    shown = "".join(
        f' {key.replace("_", "-")}="{escaped(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(content)
    return f"<{name}{shown}>{inner}</{name}>" if inner else f"<{name}{shown}/>"


def text(
    x: float, y: float, text: str, *, size: int, bold: bool = False, anchor: str = "start", fill: str = INK
) -> str:
    return tag(
        "text",
        escaped(text),
        x=x,
        y=y,
        font_size=size,
        font_weight="bold" if bold else None,
        text_anchor=None if anchor == "start" else anchor,
        fill=fill,
    )


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Safe in text and attributes; characters that no XML may hold become the replacement mark."""
    return escape(_NOT_XML.sub("\ufffd", text), quote=True)


def moved(x: float, y: float) -> str:
    """Value of `transform` that draws an element around (x, y) instead of the origin."""
    return f"translate({number(x)} {number(y)})"


def number(value: float) -> str:
    """A number as short as it can be said to a tenth of a pixel."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown
