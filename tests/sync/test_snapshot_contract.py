"""The contract of horizons and snapshots, on both databases."""

import pytest

from sync.testing import Lab, SnapshotContract


class TestOnSqlite(SnapshotContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(SnapshotContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab
