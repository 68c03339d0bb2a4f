"""Job names, queues and the beat schedule: the words that service and workers share.

Every job is a sweep ("look at what the database says is due"), so it takes no arguments that matter for
correctness, may run twice or never, and is repeated by beat. A nudge only makes it look now.
"""

from __future__ import annotations

from dataclasses import dataclass

EXCHANGE = "lianxin.exchange"  # ask whether a sync with the hub above is due, and do it
PROJECTION = "lianxin.projection"  # fold pending subjects into the read tables
ESCALATION = "lianxin.escalation"  # hub: fire the ladder's due steps, deem unsigned dispatches signed
COVERAGE = "lianxin.coverage"  # hub: compile and publish the coverage view
SUMMING = "lianxin.summing"  # township hub: count the months for the county, record what changed
ANCHOR = "lianxin.anchor"  # remember beside the database how far this node has come
HOUSEKEEPING = "lianxin.housekeeping"  # bounded tables, stale codes, disk and integrity facts

ALL = (EXCHANGE, PROJECTION, ESCALATION, COVERAGE, SUMMING, ANCHOR, HOUSEKEEPING)
QUEUE = "lianxin"
NUDGE_EXPIRES_S = 60  # a late doorbell is worthless: beat has looked since


@dataclass(frozen=True, slots=True)
class Beat:
    """`every_s` seconds between two looks; the message expires after the same time."""

    job: str
    every_s: float


HUB_BEAT = (
    Beat(PROJECTION, 5), Beat(ESCALATION, 30), Beat(EXCHANGE, 30), Beat(COVERAGE, 300), Beat(SUMMING, 3600),
    Beat(ANCHOR, 120), Beat(HOUSEKEEPING, 3600),
)  # fmt: skip
# The exchange is looked at often: a crowded hub may ask a station back after two seconds. A look costs a few reads.
STATION_BEAT = (Beat(EXCHANGE, 5), Beat(PROJECTION, 10), Beat(ANCHOR, 300), Beat(HOUSEKEEPING, 3600))
