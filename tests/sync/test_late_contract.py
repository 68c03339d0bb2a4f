"""What surfaces of withdrawn keys, on both databases."""

import pytest

from sync.testing import Lab, LateContract


class TestOnSqlite(LateContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(LateContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab
