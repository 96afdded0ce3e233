from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kinda import units
from pytest_kinda.errors import UnitError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100mbit", 100_000_000),
        ("1.5Gbit", 1_500_000_000),
        ("9 kbit", 9000),
        ("1kibit", 1024),
        ("7bit", 7),
    ],
)
def test_rates(text: str, value: int) -> None:
    assert units.parse_rate(text) == value
    assert isinstance(units.parse_rate(text), units.Rate)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.parse_rate, "100mbps"),
        (units.parse_rate, "100"),
        (units.parse_rate, 100),
        (units.parse_rate, "0mbit"),
        (units.parse_rate, "-1mbit"),
        (units.parse_rate, "mbit"),
        (units.parse_duration, "5"),
        (units.parse_duration, 5),
        (units.parse_duration, "5m"),
        (units.parse_size, "32k"),
        (units.parse_size, True),
        (units.parse_fraction, "0.1"),
        (units.parse_fraction, 0.1),
        (units.parse_fraction, "101%"),
        (units.parse_fraction, "x%"),
    ],
)
def test_what_is_wrong_or_ambiguous_is_refused_with_what_is_accepted(
    parse: Callable[[object], object], text: object
) -> None:
    with pytest.raises(UnitError, match="expected") as caught:
        parse(text)
    assert repr(text).strip("'") in str(caught.value)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 10**13))
def test_formats_read_back(value: int) -> None:
    assert units.parse_rate(units.format_rate(value)) == value
    assert units.parse_duration(units.format_duration(value)) == value
    assert units.parse_size(units.format_size(value)) == value


@settings(deadline=None, derandomize=True)
@given(st.floats(0, 1))
def test_shares_read_back(value: float) -> None:
    assert units.parse_fraction(units.format_fraction(value)) == value


def test_shape_names_the_setting() -> None:
    assert units.parse_shape(rate="1mbit", delay=None) == {"rate": 10**6}
    with pytest.raises(UnitError, match="delay: "):
        units.parse_shape(delay="5")
    with pytest.raises(UnitError, match="speed: no setting"):
        units.parse_shape(speed="5")
