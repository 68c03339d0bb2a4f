"""How much to send at once: towards a few seconds per request, halved when the line or the peer says it is too much."""

from dataclasses import dataclass
from typing import Final

from sync.limits import Limits
from sync.packing import Budget

_GROWTH: Final = 2
# Far below the target the size doubles; close to it, it stays.
_COMFORTABLE: Final = 0.5
_NO_CEILING: Final = 2**62


@dataclass(slots=True)
class Pace:
    """The current batch size in raw bytes; remembered per peer between exchanges."""

    limits: Limits
    raw_bytes: int
    ceiling: int = _NO_CEILING  # below what did not pass in this exchange: else every second bundle would fail

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

    def took(self, seconds: float, raw_bytes: int) -> None:
        """Learn from a batch that got through. One that was not full says nothing about a larger one."""
        if seconds > self.limits.batch_target_s:
            self.failed(self.raw_bytes)
        elif seconds < self.limits.batch_target_s * _COMFORTABLE and raw_bytes * _GROWTH >= self.raw_bytes:
            self.raw_bytes = min(self.raw_bytes * _GROWTH, self.limits.batch_raw_bytes, self.ceiling)

    def failed(self, tried: int) -> None:
        """Learn from one of `tried` raw bytes that did not, or took too long."""
        half = min(self.raw_bytes, tried) // _GROWTH
        self.raw_bytes = self.ceiling = max(half, self.limits.batch_raw_bytes_min)
