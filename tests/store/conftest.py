"""The founded town of the action tests, on either database."""

from tests.actions.conftest import any_town, log, pg_town, pg_town_folder, town, town_folder

__all__ = ["any_town", "log", "pg_town", "pg_town_folder", "town", "town_folder"]
