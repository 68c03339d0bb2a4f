"""The conversation's contract, on both databases."""

import pytest

from sync.testing import ExchangeContract, Lab


class TestOnSqlite(ExchangeContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(ExchangeContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab
