"""Numbers with the digits that they are good for."""

import pytest

from gravlensdiffusion.reports.numbers import (
    number,
    percentage,
    plus_minus,
    probability,
    share,
    signed,
    typeset,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        (0.0, "0"),
        (1.0, "1.00"),
        (0.9996, "1.00"),
        (0.001234, "0.00123"),
        (0.000123456, "1.23e-4"),
        (-12.345, "-12.3"),
        (99999.0, "99999"),
        (1234567.0, "1.23e6"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_more_digits_where_the_spread_is_small():
    assert number(12.3456, like=0.012) == "12.35"
    assert number(0.98765, like=0.0012) == "0.9877"
    assert number(0.98765, like=10.0) == "0.988"
    assert number(0.98765, like=0.0) == "0.988"


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (1.353, 0.08, "1.353 ± 0.080"),
        (0.1, 0.2345, "0.10 ± 0.23"),
        (1234.5, 120.0, "1234 ± 120"),
        (-1.85e-4, 2.4e-4, "(-1.8 ± 2.4)e-4"),
        (2.5e6, 1e4, "(2.500 ± 0.010)e6"),
        (0.0, 0.0, "0 ± 0"),
        (0.5, 0.0, "0.500 ± 0"),
        (0.5, None, "0.500"),
        (None, None, ""),
        (None, 0.1, ""),
    ],
)
def test_a_number_and_its_spread_share_their_decimals(value, spread, text):
    assert plus_minus(value, spread) == text


def test_signs_and_shares():
    assert [signed(value) for value in (2.34, -0.04, 123.4, 98765.0)] == [
        "+2.3",
        "-0.0",
        "+123",
        "+9.88e4",
    ]
    assert [percentage(value) for value in (0.091, -0.0001, 12.0)] == [
        "+9.1%",
        "+0.0%",
        "+1.2e+03%",
    ]
    assert [share(value) for value in (None, 0.956)] == ["", "96%"]
    assert [probability(value) for value in (None, 0.0, 0.042, 0.9)] == [
        "",
        "<0.001",
        "0.042",
        "0.90",
    ]


def test_numbers_are_set_with_the_signs_of_print():
    times, minus, thin = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}", "\N{THIN SPACE}"
    assert typeset("x1.23") == f"{times}1.23"
    assert typeset("-5.0 ± 0.1") == f"{minus}5.0 ± 0.1"
    assert typeset("1.23e-4") == f"1.23{thin}{times}{thin}10⁻⁴"
    assert typeset("no_sub-x") == "no_sub-x"
