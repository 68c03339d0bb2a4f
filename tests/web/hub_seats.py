"""Seats at the hub: a client in which somebody of any role is signed in, without the slow password hash."""

from __future__ import annotations

from uuid import uuid4

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert

from service.domain.people import Role
from service.node import Node
from service.store.tables import accounts

AT_STATION = (Role.DEPUTY, Role.LIAISON, Role.CHIEF)
AT_UNIT = (Role.HANDLER, Role.UNIT_HEAD)
PEOPLE = tuple(role for role in Role if role is not Role.SYSTEM)


def seat(app: Flask, node: Node, role: Role, *, unit: str = "water", station: str = "qd") -> FlaskClient:
    """Somebody of this role. The CSRF guard is off for them: these tests ask about roles, others about tokens."""
    app.config["WTF_CSRF_ENABLED"] = False
    account, stamp = uuid4().hex, uuid4().hex
    row = {
        "id": account, "username": f"{role}-{account[:6]}", "name": f"{role}(测试)", "role": role.value,
        "station": station if role in AT_STATION else None, "unit": unit if role in AT_UNIT else None,
        "deputy": "d01" if role is Role.DEPUTY else None, "password_hash": "-", "session_stamp": stamp,
        "created_at": node.now(),
    }  # fmt: skip
    with node.engine.begin() as connection:
        connection.execute(insert(accounts).values(row))
    client = app.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = f"{account}:{stamp}"
        session["_fresh"] = True
    return client
