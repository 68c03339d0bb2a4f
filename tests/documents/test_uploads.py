"""What people upload is told by its content, cleaned, made small, or refused with a reason."""

import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.documents import pictures, uploads
from service.documents.uploads import FILE_BYTES_MAX, Upload, cleaned
from service.domain.refusals import Invalid
from tests.documents.photos import PLACE, noisy, paper, photo, scan

ROOT = Path(__file__).parents[2]


def why(name: str, content: bytes) -> str:
    """The code of the refusal."""
    with pytest.raises(Invalid) as caught:
        cleaned(name, content)
    assert caught.value.field == "files"
    return caught.value.code


def opened(upload: Upload) -> Image.Image:
    return Image.open(BytesIO(upload.content))


def test_nothing_but_pixels_remains_of_a_photo() -> None:
    taken = photo()
    assert PLACE.encode() in taken
    kept = cleaned("现场.jpg", taken + b"<script>alert(1)</script>")
    assert PLACE.encode() not in kept.content
    assert b"Telephone" not in kept.content
    assert b"script" not in kept.content
    assert not opened(kept).getexif()
    assert "comment" not in opened(kept).info


def test_a_png_loses_its_texts_and_profile() -> None:
    buffer = BytesIO()
    info = PngInfo()
    info.add_text("Comment", "Telephone X")
    Image.new("RGB", (40, 30)).save(buffer, "PNG", pnginfo=info, icc_profile=b"a profile of a certain screen")
    kept = cleaned("scan.png", buffer.getvalue())
    assert opened(kept).info == {}


def test_a_photo_taken_with_the_telephone_upright_stands_upright() -> None:
    assert opened(cleaned("a.jpg", photo(640, 480, turned=True))).size == (480, 640)


@pytest.mark.parametrize(
    ("size", "becomes"), [((4000, 3000), (2000, 1500)), ((300, 9000), (67, 2000)), ((80, 60), (80, 60))]
)
def test_the_long_side_is_at_most_two_thousand_pixels_and_small_ones_stay(
    size: tuple[int, int], becomes: tuple[int, int]
) -> None:
    assert opened(cleaned("a.jpg", photo(*size))).size == becomes


def test_a_photo_of_a_telephone_becomes_small_enough_for_a_village_line() -> None:
    taken = noisy(4000, 3000)
    assert len(taken) > 4_000_000
    assert len(cleaned("a.jpg", taken).content) < len(taken) / 3


def test_a_scan_stays_a_png_and_a_photo_saved_as_png_becomes_a_jpeg() -> None:
    assert cleaned("a.png", scan()).media_type == "image/png"
    big = cleaned("b.png", noisy(1500, 1200, "PNG"))
    assert (big.media_type, big.name) == ("image/jpeg", "b.jpg")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_png_can_be_kept(mode: str) -> None:
    assert opened(cleaned("a.png", scan(40, 30, mode))).size == (40, 30)


def test_what_was_transparent_becomes_white_paper() -> None:
    assert opened(cleaned("a.png", scan(10, 10, "RGBA"))).convert("RGB").getpixel((5, 5)) == (255, 255, 255)


def test_printers_colours_become_the_screens() -> None:
    buffer = BytesIO()
    Image.new("CMYK", (20, 20)).save(buffer, "JPEG")
    assert opened(cleaned("a.jpg", buffer.getvalue())).mode == "RGB"


# --- the type is told by the content -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "becomes"),
    [
        ("photo.pdf", photo(), "photo.jpg"),
        ("菜单.exe", scan(), "菜单.png"),
        ("page.html", paper(), "page.pdf"),
        ("no ending", photo(), "no ending.jpg"),
        ("C:\\Users\\王小明\\桌面\\水沟.JPG", photo(), "水沟.jpg"),
        ("../../etc/passwd", photo(), "passwd.jpg"),
        ("", photo(), "附件.jpg"),
        ("harmless\u202egpj.exe", photo(), "harmless gpj.jpg"),
        ("long" * 100 + ".jpg", photo(), "long" * 18 + "lon" + ".jpg"),
    ],
)
def test_a_file_is_called_after_what_it_is(name: str, content: bytes, becomes: str) -> None:
    assert cleaned(name, content).name == becomes


@pytest.mark.parametrize(
    "content",
    [
        b"<html><script>alert(1)</script>",
        b"MZ\x90\x00",
        b"GIF89a" + bytes(20),
        b"PK\x03\x04",
        b"\x00" * 100,
        b" %PDF-1.4",
    ],
)
def test_what_is_neither_picture_nor_pdf_is_refused_whatever_its_name(content: bytes) -> None:
    assert why("photo.jpg", content) == "file_type"


@pytest.mark.parametrize("content", [photo()[:400], photo()[:3], scan()[:60], b"\x89PNG\r\n\x1a\n" + b"<html>" * 9])
def test_half_a_picture_is_refused(content: bytes) -> None:
    assert why("photo.jpg", content) == "file_damaged"


def test_an_empty_file_and_one_that_is_too_large_are_refused() -> None:
    assert why("a.jpg", b"") == "file_empty"
    assert why("a.pdf", paper() + bytes(FILE_BYTES_MAX)) == "file_too_large"


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(bytes(10**6))) + part(b"IEND", b"")
    )
    assert len(bomb) < 2000
    assert why("bomb.png", bomb) == "picture_too_large"


def test_a_picture_just_above_the_limit_is_refused_and_not_only_warned_of() -> None:
    assert why("a.png", scan(pictures.PIXELS_MAX // 5000 + 1, 5000)) == "picture_too_large"


# --- PDF -----------------------------------------------------------------------------------------------------------


def test_a_plain_pdf_is_kept_as_it_is() -> None:
    assert cleaned("a.pdf", paper(b"/Pages 2 0 R")).content == paper(b"/Pages 2 0 R")


@pytest.mark.parametrize(
    ("word", "code"),
    [
        (b"/Encrypt 5 0 R", "pdf_locked"),
        (b"/OpenAction<</S/JavaScript/JS(app.alert(1))>>", "pdf_active"),
        (b"/OpenAction<</S/Launch/F(cmd.exe)>>", "pdf_active"),
        (b"/J#61vaScript 3 0 R", "pdf_active"),
        (b"/Names<</EmbeddedFiles 1 0 R>>/EmbeddedFile", "pdf_active"),
    ],
)
def test_a_pdf_that_is_locked_or_does_something_is_refused(word: bytes, code: str) -> None:
    assert why("a.pdf", paper(word)) == code


def test_half_a_pdf_is_refused() -> None:
    assert why("a.pdf", paper()[:30]) == "file_damaged"


# --- light on a village PC -------------------------------------------------------------------------------------------


def test_pillow_is_loaded_when_the_first_photo_comes_and_not_before() -> None:
    code = f"import sys, service.web.app, {uploads.__name__}; sys.exit('PIL' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
