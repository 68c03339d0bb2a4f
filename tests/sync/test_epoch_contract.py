"""Restored, copied and lost databases, on both databases."""

import pytest

from sync.testing import EpochContract, Lab


class TestOnSqlite(EpochContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(EpochContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab
