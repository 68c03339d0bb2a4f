"""The English catalogues: gather what the pages say, keep what is translated, compile what the pages read.

Run `python -m service.web.catalogue` after changing a text: new texts appear in the .po files with an empty
translation, texts that no page says any more disappear, and the .mo files are compiled anew. A test fails while a
text has no translation or a .mo file is older than its .po file.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

HERE = Path(__file__).parent
KEYWORDS = {"_": None, "gettext": None, "lazy_gettext": None, "N_": None}
_OPTIONS = {"trim_blocks": "true", "lstrip_blocks": "true", "extensions": "jinja2.ext.do", "silent": "false"}

_HEADER = rb"""msgid ""
msgstr ""
"Language: en\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=utf-8\n"

"""

# What only a hub shows. Its texts have a catalogue of their own.
HUB = frozenset({
    "account_pages.py", "county.py", "coverage_page.py", "dispatching.py", "field_names.py", "hub.py", "hub_words.py",
    "inbox.py", "records_aside.py", "reviewing.py", "stations_board.py", "supervision.py", "town_data.py",
    "unit_desk.py", "upper.py", "templates/hub",
})  # fmt: skip
# Rooms outside the pages whose texts a page shows.
BEYOND = (HERE.parent / "documents",)


@dataclass(frozen=True, slots=True)
class Shelf:
    """One catalogue: its folder below service/web, and whether it is the hub's."""

    folder: str
    hub: bool

    @property
    def po(self) -> Path:
        return HERE / self.folder / "en" / "LC_MESSAGES" / "messages.po"

    @property
    def mo(self) -> Path:
        return self.po.with_suffix(".mo")


SHELVES = (Shelf("translations", hub=False), Shelf("translations/hub", hub=True))


def said(shelf: Shelf) -> dict[str, list[str]]:
    """Every text that pages of this shelf say, with the files that say it. A text both say is on the first shelf."""
    texts: dict[str, list[str]] = {}
    for path in _sources(hub=shelf.hub):
        for text in _texts(path):
            texts.setdefault(text, []).append(_named(path))
    common = said(SHELVES[0]) if shelf.hub else {}
    return {text: places for text, places in texts.items() if text not in common}


def _sources(*, hub: bool) -> Iterator[Path]:
    for place in (HERE, *(BEYOND if hub else ())):
        for path in sorted([*place.rglob("*.py"), *place.rglob("*.html")]):
            if _is_hub(path) == hub:
                yield path


def _is_hub(path: Path) -> bool:
    name = _named(path)
    return name in HUB or name.startswith("templates/hub/") or not path.is_relative_to(HERE)


def _named(path: Path) -> str:
    return path.relative_to(HERE).as_posix() if path.is_relative_to(HERE) else path.name


@cache
def _texts(path: Path) -> tuple[str, ...]:
    method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
    found = extract_from_file(method, path, KEYWORDS, options=_OPTIONS)
    return tuple(message if isinstance(message, str) else message[0] for _line, message, _comments, _context in found)


def read(shelf: Shelf) -> Catalog:
    """The catalogue as translated so far; empty when there is none."""
    if not shelf.po.exists():
        return Catalog(locale="en")
    return read_po(io.BytesIO(shelf.po.read_bytes()), locale="en")


def renewed(shelf: Shelf) -> Catalog:
    """What is said now, with the translations there are; of the other shelf, too, where a text moved."""
    known = {entry.id: entry.string for other in SHELVES for entry in read(other) if entry.id and entry.string}
    catalog = Catalog(locale="en", project="Lianxin", charset="utf-8", creation_date=None, revision_date=None)
    catalog.fuzzy = False
    for text, places in sorted(said(shelf).items()):
        catalog.add(text, string=known.get(text, ""), auto_comments=sorted(set(places)))
    return catalog


def po_bytes(catalog: Catalog) -> bytes:
    """The .po file without dates, so that it only changes when a text does."""
    file = io.BytesIO()
    write_po(file, catalog, omit_header=True, width=0, no_location=True)
    return _HEADER + file.getvalue()


def mo_bytes(shelf: Shelf) -> bytes:
    """The .mo file that belongs to the .po file on the disk."""
    file = io.BytesIO()
    write_mo(file, read(shelf))
    return file.getvalue()


def compiled(shelf: Shelf) -> dict[str, str]:
    """What the pages read: texts and translations of the .mo file."""
    catalog = read_mo(io.BytesIO(shelf.mo.read_bytes()))
    return {str(entry.id): str(entry.string) for entry in catalog if entry.id}


def written(shelf: Shelf) -> dict[str, str]:
    """Texts and translations of the .po file, without those that have none yet."""
    return {str(entry.id): str(entry.string) for entry in read(shelf) if entry.id and entry.string}


def main() -> int:
    """Renew all catalogues; gives 1 while something is not translated."""
    missing = 0
    fresh = [(shelf, po_bytes(renewed(shelf))) for shelf in SHELVES]
    for shelf, po in fresh:
        shelf.po.parent.mkdir(parents=True, exist_ok=True)
        shelf.po.write_bytes(po)
        shelf.mo.write_bytes(mo_bytes(shelf))
        empty = [str(entry.id) for entry in read(shelf) if entry.id and not entry.string]
        missing += len(empty)
        sys.stderr.writelines(f"{shelf.folder}: {text}\n" for text in empty)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
