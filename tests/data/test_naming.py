"""File names in the order that a person expects."""

from hypothesis import given
from hypothesis import strategies as st

from gravlensdiffusion.data.naming import natural_key


def test_numbers_count_as_numbers() -> None:
    names = ["sample10.npy", "Sample1.npy", "sample2.npy", "a10b2", "a10b10", "a", "a1", "01", "1"]
    assert sorted(names, key=natural_key) == [
        "01",
        "1",
        "a",
        "a1",
        "a10b2",
        "a10b10",
        "Sample1.npy",
        "sample2.npy",
        "sample10.npy",
    ]


@given(st.lists(st.text(max_size=8), unique=True))
def test_no_two_names_are_equal_in_order(names: list[str]) -> None:
    assert len({natural_key(name) for name in names}) == len(names)
