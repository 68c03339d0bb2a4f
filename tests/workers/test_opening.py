"""What is done when PostgreSQL is not there yet, or not there again."""

from sqlalchemy.exc import OperationalError

from workers.opening import patiently


def test_what_needs_a_database_that_is_away_is_tried_again_until_it_is_back() -> None:
    answers = iter([OperationalError("SELECT 1", {}, Exception("connection refused")), "opened"])

    def open_it() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(open_it) == "opened"
