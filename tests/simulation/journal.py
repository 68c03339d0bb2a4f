"""What happened in a run, as one digest, as its last lines, and as counts."""

from collections import Counter, deque
from hashlib import sha256

LINES_KEPT = 40


class Journal:
    """Every step, every message's bytes and every head goes into the digest, so equal digests mean an equal course."""

    def __init__(self) -> None:
        self._digest = sha256()
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.counts: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.places: set[str] = set()

    def line(self, text: str) -> None:
        """Something happened."""
        self._digest.update(text.encode() + b"\n")
        self.lines.append(text)

    def message(self, what: str, data: bytes) -> None:
        """These bytes passed."""
        self.line(f"    {what} {len(data)} B {sha256(data).hexdigest()[:12]}")

    def fault(self, name: str) -> None:
        self.faults[name] += 1
        self.line(f"    fault: {name}")

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()
