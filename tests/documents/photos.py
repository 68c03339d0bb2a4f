"""Pictures and papers as people upload them, made on the spot."""

from io import BytesIO

from PIL import Image

PLACE = "北纬23度,排水沟旁"  # what a telephone writes into its photos


def photo(width: int = 640, height: int = 480, *, turned: bool = False, colour: str = "red") -> bytes:
    """A JPEG with what a camera writes into it; `turned`: held upright, so its pixels lie on their side."""
    exif = Image.Exif()
    exif[0x010E] = PLACE
    exif[0x0110] = "Telephone X"
    if turned:
        exif[0x0112] = 6
    buffer = BytesIO()
    picture = Image.new("RGB", (width, height), colour)
    picture.save(buffer, "JPEG", exif=exif, comment=PLACE.encode())
    return buffer.getvalue()


def noisy(width: int, height: int, form: str = "JPEG") -> bytes:
    """A picture that cannot be made small, as photos are."""
    buffer = BytesIO()
    Image.effect_noise((width, height), 80).convert("RGB").save(buffer, form)
    return buffer.getvalue()


def scan(width: int = 800, height: int = 600, mode: str = "1") -> bytes:
    """A PNG of a page, with a text inside."""
    buffer = BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG", dpi=(300, 300))
    return buffer.getvalue()


def paper(*words: bytes) -> bytes:
    """A small PDF with these words in its objects."""
    return b"%PDF-1.7\n1 0 obj<</Type/Catalog " + b" ".join(words) + b">>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
