"""Peers, on both databases."""

import pytest

from sync.testing import Lab, PeersContract


class TestOnSqlite(PeersContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(PeersContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab
