"""What waits early and for what nothing comes, on both databases."""

import pytest

from sync.testing import EarlyContract, Lab


class TestOnSqlite(EarlyContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(EarlyContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab
