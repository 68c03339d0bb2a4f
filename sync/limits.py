"""Ceilings. What arrives above them is refused while it is still being read; what is sent stays below them."""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024

# Part of the format: every node takes a bundle this big, so whoever sends less is always understood. A stream can be
# cut at every milestone (128 events of at most 256 KiB), hence one milestone always fits.
BUNDLE_EVENTS_MAX: Final = 20_000
BUNDLE_SEGMENTS_MAX: Final = 256
HEADER_BYTES_MAX: Final = 4096
HEADS_MAX: Final = 10_000
# Per direction on one memory stick; more waits for the next time.
STICK_FILES_MAX: Final = 1000
# Of attached content on a stick: chunks in one file (8 MiB, far below what FAT32 and a village PC's memory take), files
# for one node, and statements about content in one manifest, which stays below its 4 MiB.
STICK_CHUNKS_MAX: Final = 64
STICK_CONTENTS_MAX: Final = 250
STICK_STANDINGS_MAX: Final = 10_000
# Of attached content: 16 s on a line of 64 kbit/s, so that records never wait longer for one chunk. Part of the format.
CHUNK_BYTES: Final = 128 * 1024
BLOB_BYTES_MAX: Final = 64 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What this node takes at once (`…_max`) and what it offers at once (`batch_…`)."""

    bundle_bytes_max: int = 16 * MIB
    bundle_raw_bytes_max: int = 48 * MIB
    message_bytes_max: int = 2 * MIB
    held_bytes_max: int = 64 * MIB
    batch_events: int = 10_000
    batch_raw_bytes: int = 8 * MIB
    batch_raw_bytes_min: int = 16 * 1024
    batch_raw_bytes_start: int = 1 * MIB
    batch_target_s: float = 5.0
    rounds_max: int = 8
    round_s: float = 30.0  # then both sides state anew what they hold: what is short and new goes before the rest
    exchange_s: float = 240.0  # then an exchange ends where it is; the next one goes on
    working_at_once: int = 0  # requests with work that a process takes on at once; 0 = all
    # The lane of attached content, in each exchange; and what it leaves free on the disk for the database.
    blob_lane_bytes: int = 8 * MIB
    blob_lane_s: float = 10.0
    blob_disk_free_min: int = 256 * MIB
    # Attached content on a stick, per direction; and what it leaves free there for records.
    stick_blob_bytes: int = 1024 * MIB
    stick_free_min: int = 32 * MIB
