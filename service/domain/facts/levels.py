"""Facts that pass between a township and its county: sums upwards, notices downwards. No case, no citizen's name."""

from __future__ import annotations

from datetime import date

from service.domain.facts.kinds import Fact, fact


@fact("township.summed")
class TownshipSummed(Fact):
    """月度汇总: what a township's hub counted for one month, as it stood on `as_of`. A later one takes its place.

    All figures are counts; `service.domain.summing` says of what. Those about villages and their residents are None
    when the coverage could not be computed.
    """

    township: str  # nine digits
    month: str  # "2026-11"
    as_of: date
    stations_open: int
    receptions_held: int
    reception_visitors: int
    opinions_received: int
    answered_on_time: int
    answered_late: int
    open_in_term: int
    open_overdue: int
    rated: int
    satisfied: int
    fairly_satisfied: int
    villages: int | None = None
    villages_located: int | None = None
    villages_reached: int | None = None
    villages_populated: int | None = None
    villages_visited: int | None = None
    residents: int | None = None
    residents_located: int | None = None
    residents_reached: int | None = None
    residents_visited: int | None = None


@fact("notice.published")
class NoticePublished(Fact):
    """县级通知: words of the county's office for the hubs of all its townships."""

    title: str
    text: str
