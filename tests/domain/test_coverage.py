"""The values of a coverage: shares as they are printed, settings and villages that make sense."""

import pytest

from service.domain.coverage import CoverageSettings, Share, Village


@pytest.mark.parametrize(
    ("share", "percent"),
    [
        (Share(0, 3), "0.0"),
        (Share(1, 3), "33.3"),
        (Share(2, 3), "66.7"),
        (Share(1, 2000), "0.1"),  # 0.05 rounds up
        (Share(3, 3), "100.0"),
    ],
)
def test_percent_has_one_decimal_half_up(share: Share, percent: str) -> None:
    assert str(share.percent) == percent


def test_a_share_of_nothing_has_no_percentage() -> None:
    assert Share(0, 0).percent is None


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(ValueError):
        CoverageSettings(radius_m=0)


def test_a_population_below_zero_is_refused() -> None:
    with pytest.raises(ValueError):
        Village(code="a", name="甲村", population=-1)
