"""A form that was sent twice: the second sending leads on to where the first one led, and records nothing.

Who clicks again because the page was slow has done nothing wrong. A form carries the moment it was opened
(`opened`, seconds since 1970); when the same account has recorded that very step since, it is the same form.
"""

from __future__ import annotations

from service.domain import facts as f
from service.store.unit import Unit
from service.web.forms import Form
from service.web.steps import taken_before


def sent_before(unit: Unit, opinion_id: str, form: Form, *kinds: type[f.Fact]) -> bool:
    """Whether this form has been taken already. Locks the opinion, so two sendings at once are told apart."""
    return taken_before(unit.opinion(opinion_id), kinds, form.raw("opened"), unit.actor.account)
