"""`python -m tests.workers.deaf_worker`: an ordinary worker that loses its ear after the first job, and looks often.

What Celery does by accident when Redis goes away at the wrong moment is done here on purpose: the event loop forgets
the connection that messages come on.
"""

from __future__ import annotations

import sys
from typing import Any

from celery import signals
from celery.__main__ import main

from workers import listening

listening.LOOK_S, listening.DEAF_S = 0.5, 1.5


class Ear:
    """The worker's event loop, once it is there."""

    loop: Any = None
    is_lost = False


@signals.worker_ready.connect(weak=False)
def find_it(sender: Any, **_: object) -> None:
    Ear.loop = sender.hub


@signals.task_received.connect(weak=False)
def lose_it(**_: object) -> None:
    if not Ear.is_lost:
        Ear.is_lost = True
        Ear.loop.call_soon(forget_the_connection)


def forget_the_connection() -> None:
    asking = [callback for callback in Ear.loop.on_tick if "Transport." in repr(callback)]
    Ear.loop.on_tick.difference_update(asking)
    for ear in [fd for fd, (callback, _) in Ear.loop.readers.items() if "Transport." in repr(callback)]:
        Ear.loop.remove(ear)
    print("deaf now", len(asking), flush=True)


if __name__ == "__main__":
    sys.argv = ["celery", "-A", "workers.app", "worker", "--concurrency=1", "--without-gossip", "--without-mingle"]
    main()
