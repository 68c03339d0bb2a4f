"""Colours and patterns of the map: told apart on a bad screen, on a grey print and without colours."""

from service.documents.map_symbols import FAINT, PAINTS, STATION_INK
from service.documents.map_words import STATE_WORDS
from service.documents.svg import INK
from service.domain.coverage import VillageState


def test_colours_keep_their_contrast() -> None:
    for text in (INK, FAINT, STATION_INK):
        assert contrast(text, "#ffffff") >= 7
    for paint in PAINTS.values():
        assert contrast(paint.ink, paint.fill) >= 3  # pattern on its ground, mark on its cell
        assert contrast(INK, paint.fill) >= 4.5  # should a name ever lie on a bare cell
        assert contrast(FAINT, paint.fill) >= 3  # cell borders


def test_every_state_has_a_pattern_and_a_word_of_its_own() -> None:
    assert len({paint.pattern for paint in PAINTS.values()}) == len(VillageState)
    assert len(set(STATE_WORDS.values())) == len(VillageState)


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
