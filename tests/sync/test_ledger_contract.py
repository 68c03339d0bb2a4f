"""The ledger's contract, on both databases."""

import pytest

from sync.testing import Lab, LedgerContract


class TestOnSqlite(LedgerContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(LedgerContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab
