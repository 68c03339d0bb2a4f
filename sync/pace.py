"""How much to send at once: towards a few seconds per request, halved when the line or the peer says it is too much."""

from dataclasses import dataclass
from typing import Final

from sync.limits import Limits
from sync.packing import Budget

_GROWTH: Final = 2
# Far below the target the size doubles; close to it, it stays.
_COMFORTABLE: Final = 0.5


@dataclass(slots=True)
class Pace:
    """The current batch size in raw bytes; remembered per peer between exchanges."""

    limits: Limits
    raw_bytes: int

    @classmethod
    def resume(cls, limits: Limits, remembered: int | None) -> "Pace":
        size = remembered or limits.batch_raw_bytes_start
        return cls(limits, min(max(size, limits.batch_raw_bytes_min), limits.batch_raw_bytes))

    @property
    def budget(self) -> Budget:
        return Budget(raw_bytes=self.raw_bytes, events=self.limits.batch_events)

    @property
    def smallest(self) -> bool:
        return self.raw_bytes <= self.limits.batch_raw_bytes_min

    def took(self, seconds: float) -> None:
        """Learn from a batch that got through."""
        if seconds > self.limits.batch_target_s:
            self.failed()
        elif seconds < self.limits.batch_target_s * _COMFORTABLE:
            self.raw_bytes = min(self.raw_bytes * _GROWTH, self.limits.batch_raw_bytes)

    def failed(self) -> None:
        """Learn from one that did not."""
        self.raw_bytes = max(self.raw_bytes // _GROWTH, self.limits.batch_raw_bytes_min)
