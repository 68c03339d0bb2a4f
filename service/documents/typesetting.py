"""Text set in a given width, for a font that is the reader's and so can only be estimated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from unicodedata import east_asian_width

from service.documents import svg
from service.documents.svg import INK

SMALL, NAME, HEADING = 14, 15, 20  # natural sizes; nothing on the sheet is smaller


@dataclass(slots=True)
class Column:
    """Text set from the top down in a given width; `y` is the lower edge of what has been set."""

    x: float
    y: float
    width: float
    marks: list[str] = field(default_factory=list)

    def write(self, text: str, *, size: int = SMALL, bold: bool = False, indent: float = 0, fill: str = INK) -> None:
        self._set(_wrapped(_tokens(text), self.width - indent, size), size=size, bold=bold, indent=indent, fill=fill)

    def write_pieces(self, pieces: Sequence[str], *, fill: str = INK) -> None:
        """Pieces that are broken only between each other, unless one is wider than the column."""
        tokens = [f"{piece} · " for piece in pieces[:-1]] + [*pieces[-1:]]
        whole = all(text_width(token, SMALL) <= self.width for token in tokens)
        lines = _wrapped(tokens if whole else _tokens("".join(tokens)), self.width, SMALL)
        self._set([line.removesuffix(" ·") for line in lines], size=SMALL, bold=False, indent=0, fill=fill)

    def _set(self, lines: Iterable[str], *, size: int, bold: bool, indent: float, fill: str) -> None:
        for line in lines:
            self.y += round(size * 1.4)
            self.marks.append(svg.text(self.x + indent, self.y - size * 0.35, line, size=size, bold=bold, fill=fill))

    def skip(self, pixels: float) -> None:
        self.y += pixels


_SLIM = frozenset(" .,:;'|!()[]fijlrtI")


def text_width(text: str, size: float) -> float:
    """Estimated width: a Chinese character is as wide as high, a Latin one about half; the font is the reader's."""
    return sum(size if east_asian_width(char) in "WFA" else size * (0.34 if char in _SLIM else 0.58) for char in text)


_TOKEN = re.compile("(?:[!-~]{1,24}|\\s|.)[\u3001\u3002\uff0c\uff1a\uff1b\uff09,.;:)%]*\\s*", re.DOTALL)


def _tokens(text: str) -> list[str]:
    """Pieces between which a line may end: words and single Chinese characters, closing punctuation kept with both."""
    return _TOKEN.findall(text)


def _wrapped(tokens: Iterable[str], width: float, size: float) -> list[str]:
    """Lines of at most `width`, broken between tokens."""
    lines, line = [], ""
    for token in tokens:
        if line and text_width((line + token).rstrip(), size) > width:
            lines.append(line.rstrip())
            line = token
        else:
            line += token
    return [*lines, line.rstrip()] if line.strip() else lines
