"""What somebody uploads, made safe and small: the type told by its content, pictures drawn anew.

A picture is drawn anew (see `pictures`). A PDF stays as it is; one that is locked or that does something when opened is
refused as far as that is easily told, and pages only ever offer it as a download.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from service.domain.opinions import MEDIA_TYPES
from service.domain.refusals import Invalid

FILE_BYTES_MAX: Final = 10 * 1024 * 1024  # what telephones make is below; 10 MB of PDF take a village line 20 minutes
NAME_MAX: Final = 80

_PDF_ENDS_WITHIN: Final = 2048
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_LOCKED = re.compile(rb"/Encrypt\b")
_ACTIVE = re.compile(rb"/(?:JavaScript|JS|Launch|EmbeddedFile|RichMedia|XFA)\b")
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069/\\<>:\"|?*]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Content that is fit to be kept and shown. `name` is for people only."""

    content: bytes
    media_type: str
    name: str

    @property
    def digest(self) -> str:
        """SHA-256 of the content in hex."""
        return sha256(self.content).hexdigest()


def cleaned(name: str, content: bytes) -> Upload:
    """The file as it may be kept. Raises Invalid("files", …) with the reason and the name as shown.

    Slow (up to a second for a photo), so it is called before a transaction begins.
    """
    shown = _shown_name(name)
    if not content:
        raise _refused("file_empty", shown)
    if len(content) > FILE_BYTES_MAX:
        raise Invalid("files", "file_too_large", name=shown, limit=FILE_BYTES_MAX // 1024**2)
    if content.startswith(b"%PDF-"):
        return _made(shown, "application/pdf", _checked_pdf(content, shown))
    if content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        return _made(shown, *_picture(content, shown))
    raise _refused("file_type", shown)


def _picture(content: bytes, shown: str) -> tuple[str, bytes]:
    from service.documents import pictures  # loaded when the first photo comes: most days of a village PC bring none

    try:
        return pictures.redrawn(content)
    except pictures.TooManyPixels:
        raise _refused("picture_too_large", shown) from None
    except pictures.Damaged:
        raise _refused("file_damaged", shown) from None


def _made(shown: str, media_type: str, content: bytes) -> Upload:
    """Named after what it is: `菜单.exe` that is a picture becomes `菜单.jpg`."""
    stem = shown.rpartition(".")[0] or shown
    return Upload(content=content, media_type=media_type, name=stem + MEDIA_TYPES[media_type])


def _shown_name(name: str) -> str:
    """The last part of the name, without what cannot be shown or would turn the reading direction."""
    plain = _UNSHOWN.sub(" ", re.split(r"[/\\]", name)[-1]).strip(" .")
    stem, dot, ending = plain.rpartition(".")
    return (stem[: NAME_MAX - 5] + dot + ending[:4] if stem else plain[:NAME_MAX]) or "附件"


def _refused(code: str, shown: str) -> Invalid:
    return Invalid("files", code, name=shown)


# --- PDF -------------------------------------------------------------------------------------------------------


def _checked_pdf(content: bytes, shown: str) -> bytes:
    """The PDF itself. What lies compressed inside is not looked at, which is why no page ever opens one."""
    if b"%%EOF" not in content[-_PDF_ENDS_WITHIN:]:
        raise _refused("file_damaged", shown)
    names = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), content)  # /J#53 is /JS
    if _LOCKED.search(names):
        raise _refused("pdf_locked", shown)
    if _ACTIVE.search(names):
        raise _refused("pdf_active", shown)
    return content
