"""A photo drawn anew: decoded and encoded again, so that nothing but its pixels remains.

No place and time of a telephone's camera, no preview, no comment, nothing hidden behind its end; upright, and small
enough for a village line.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

SIDE_MAX: Final = 2000  # pixels: a page of A4 stays readable
PIXELS_MAX: Final = 80_000_000  # 240 MB once unpacked, which a village PC still has
PNG_BYTES_MAX: Final = 1024 * 1024  # a scan of text is smaller; what is larger is a photo and goes as JPEG
JPEG_QUALITY: Final = 82

Image.MAX_IMAGE_PIXELS = PIXELS_MAX
# A picture above the limit only warns by itself; a bomb must not be unpacked at all.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class Damaged(Exception):
    """It cannot be read as the picture it claims to be."""


class TooManyPixels(Exception):
    """It would unpack to more than this PC should hold."""


def redrawn(content: bytes) -> tuple[str, bytes]:
    """Media type and bytes of the picture: upright, at most `SIDE_MAX` on its long side, pixels and nothing else.

    Raises Damaged, TooManyPixels.
    """
    try:
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as picture:
            picture.draft("RGB", (SIDE_MAX, SIDE_MAX))  # a JPEG is unpacked at the size that is needed
            plain = _plain(ImageOps.exif_transpose(picture))
            plain.thumbnail((SIDE_MAX, SIDE_MAX), Image.Resampling.LANCZOS)
            return _encoded(plain, as_png=picture.format == "PNG")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise Damaged from error


def _plain(picture: Image.Image) -> Image.Image:
    """A fresh picture in grey or colour with the same pixels, on white where it was transparent."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = Image.new("RGB", picture.size, "white")
        ground.paste(picture, mask=picture.getchannel("A"))
        return ground
    pixels = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    fresh = Image.new(pixels.mode, pixels.size)
    fresh.paste(pixels)
    return fresh


def _encoded(picture: Image.Image, *, as_png: bool) -> tuple[str, bytes]:
    if as_png:
        png = _saved(picture, "PNG", optimize=True)
        if len(png) <= PNG_BYTES_MAX:
            return "image/png", png
    return "image/jpeg", _saved(picture, "JPEG", quality=JPEG_QUALITY, optimize=True)


def _saved(picture: Image.Image, form: str, **options: int | bool) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
