"""Accounts: they belong to one node and never travel.

Passwords are kept as Argon2id. Guessing is slowed by a growing pause per account rather than a hard lock, which
would let anybody shut out the clerk; an unknown name costs the same time and gives the same answer.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, insert, select, update

from service.domain.people import Actor, Role, Step
from service.domain.refusals import Invalid, NotFound, Refused
from service.node import Node
from service.store.tables import accounts
from service.store.unit import Unit

PASSWORD_MIN, PASSWORD_MAX = 8, 128
FREE_TRIES = 5
_LOCAL_WORDS = ("password", "12345678", "88888888", "lianxin", "qiankeng", "qwertyui", "admin123", "11111111")
_AT_STATION = frozenset({Role.DEPUTY, Role.LIAISON, Role.CHIEF})

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # light enough for a village PC


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session's ground: the account and its stamp; a changed stamp ends every session of the account."""

    account: str
    stamp: str
    actor: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    username: str
    name: str
    role: str
    password: str
    station: str = ""
    unit: str = ""
    deputy: str = ""


def authenticate(node: Node, username: str, password: str) -> SignedIn:
    """Who this is. Raises Refused("bad_credentials") or Refused("locked", minutes=…)."""
    with node.engine.begin() as connection:
        row = _by_name(connection, username)
        outcome = _judge(row, password, node.now())
        if row is not None and outcome != "locked":
            _note_try(connection, row, outcome == "ok", node.now())
    if outcome == "locked" and row is not None:
        minutes = int((row.locked_until - node.now()).total_seconds() // 60) + 1
        raise Refused("locked", None, minutes=minutes)
    if outcome != "ok" or row is None:
        raise Refused("bad_credentials")
    return SignedIn(account=row.id, stamp=row.session_stamp, actor=_actor(row))


def account_actor(node: Node, account_id: str, stamp: str) -> Actor | None:
    """The actor of a session, or None when it has ended (disabled, password changed, unknown)."""
    with node.reading() as connection:
        row = connection.execute(select(accounts).where(accounts.c.id == account_id)).one_or_none()
    if row is None or row.disabled_at is not None or not secrets.compare_digest(row.session_stamp, stamp):
        return None
    return _actor(row)


def create_account(unit: Unit, new: NewAccount) -> str:
    """A new account on this node; gives its id. Raises Invalid, NotAllowed."""
    unit.actor.require(Step.MANAGE_ACCOUNTS)
    role = _role(new.role)
    _check_new(unit, new, role)
    account = unit.new_id()
    unit.connection.execute(insert(accounts).values(
        id=account, username=new.username.strip(), name=new.name.strip(), role=role.value,
        station=new.station or None, unit=new.unit or None, deputy=new.deputy or None,
        password_hash=_hasher.hash(new.password), session_stamp=secrets.token_hex(16), created_at=unit.now,
    ))  # fmt: skip
    return account


def change_password(unit: Unit, old: str, new: str) -> str:
    """Set one's own password; every other session ends. Gives the new stamp. Raises Invalid."""
    row = _by_id(unit.connection, unit.actor.account)
    if not _verifies(row.password_hash, old):
        raise Invalid("old", "bad_credentials")
    _check_password(new, row.username, "new")
    return _set_password(unit.connection, row.id, new)


def reset_password(unit: Unit, account_id: str, new: str) -> None:
    """Set another's password, for who forgot it."""
    unit.actor.require(Step.MANAGE_ACCOUNTS)
    row = _reachable(unit, account_id)
    _check_password(new, row.username, "password")
    _set_password(unit.connection, row.id, new)


def disable_account(unit: Unit, account_id: str) -> None:
    """End the account and its sessions; its past deeds keep its name."""
    unit.actor.require(Step.MANAGE_ACCOUNTS)
    row = _reachable(unit, account_id)
    if row.id == unit.actor.account:
        raise Refused("not_yourself")
    values = {"disabled_at": unit.now, "session_stamp": secrets.token_hex(16)}
    unit.connection.execute(update(accounts).where(accounts.c.id == row.id).values(values))


def list_accounts(unit: Unit) -> list[Any]:
    """All accounts of this node (rows of `accounts`), by user name."""
    unit.actor.require(Step.MANAGE_ACCOUNTS)
    return list(unit.connection.execute(select(accounts).order_by(accounts.c.username)))


def _reachable(unit: Unit, account_id: str) -> Any:
    """A station's chief manages the station's accounts only."""
    row = _by_id(unit.connection, account_id)
    if unit.actor.station is not None and row.station != unit.actor.station:
        raise NotFound("account", account_id)
    return row


def _check_new(unit: Unit, new: NewAccount, role: Role) -> None:
    if not new.username.strip() or len(new.username) > 60:
        raise Invalid("username")
    if not new.name.strip() or len(new.name) > 60:
        raise Invalid("name")
    if _by_name(unit.connection, new.username.strip()) is not None:
        raise Invalid("username", "taken")
    if role in _AT_STATION and new.station not in unit.town.stations:
        raise Invalid("station")
    if role in (Role.HANDLER, Role.UNIT_HEAD) and new.unit not in unit.town.units:
        raise Invalid("unit")
    if unit.actor.station is not None and (role not in _AT_STATION or new.station != unit.actor.station):
        raise Invalid("role", "unknown_choice")
    _check_password(new.password, new.username, "password")


def _role(text: str) -> Role:
    if text not in {role.value for role in Role} or text == Role.SYSTEM.value:
        raise Invalid("role", "unknown_choice")
    return Role(text)


def _check_password(password: str, username: str, field: str) -> None:
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise Invalid(field, "password_length", low=PASSWORD_MIN, high=PASSWORD_MAX)
    plain = password.lower()
    if plain == username.lower() or len(set(plain)) < 3 or any(plain == word for word in _LOCAL_WORDS):
        raise Invalid(field, "password_known")


def _set_password(connection: Connection, account: str, password: str) -> str:
    stamp = secrets.token_hex(16)
    values = {"password_hash": _hasher.hash(password), "session_stamp": stamp, "failed_logins": 0,
              "locked_until": None}  # fmt: skip
    connection.execute(update(accounts).where(accounts.c.id == account).values(values))
    return stamp


def _judge(row: Any, password: str, now: datetime) -> str:
    if row is not None and row.locked_until is not None and row.locked_until > now:
        return "locked"
    right = _verifies(row.password_hash if row is not None else _nobody(), password)
    return "ok" if right and row is not None and row.disabled_at is None else "wrong"


def _note_try(connection: Connection, row: Any, right: bool, now: datetime) -> None:
    failed = 0 if right else row.failed_logins + 1
    wait = timedelta(minutes=min(2 ** max(0, failed - FREE_TRIES), 60)) if failed >= FREE_TRIES else None
    values = {"failed_logins": failed, "locked_until": now + wait if wait else None}
    connection.execute(update(accounts).where(accounts.c.id == row.id).values(values))


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_hex(16))


def _verifies(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password[:PASSWORD_MAX])
    except (VerificationError, InvalidHashError):
        return False


def _actor(row: Any) -> Actor:
    return Actor(account=row.id, name=row.name, role=Role(row.role), station=row.station, unit=row.unit,
                 deputy=row.deputy)  # fmt: skip


def _by_name(connection: Connection, username: str) -> Any:
    return connection.execute(select(accounts).where(accounts.c.username == username.strip())).one_or_none()


def _by_id(connection: Connection, account_id: str) -> Any:
    row = connection.execute(select(accounts).where(accounts.c.id == account_id)).one_or_none()
    if row is None:
        raise NotFound("account", account_id)
    return row
