"""File names in the order that a person expects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gravlensdiffusion.sets.naming import natural_key, object_words, parse_name


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


@pytest.mark.parametrize(
    "names",
    [
        ("J1204_F814W_sci", "J1204_F160W_drz", "J1204", "image-J1204", "J1204_visit_02_F814W"),
        ("a_hsc_g", "a_hsc_r", "a-VIS", "a_psf_r"),
        ("g", "image", "psf", "VIS"),
    ],
)
def test_files_of_one_object_have_one_name(names: tuple[str, ...]) -> None:
    assert len({object_words(parse_name(name)) for name in names}) == 1


def test_other_objects_have_other_names() -> None:
    names = ("J1204+0358", "J1204-0358", "sample1", "sample2", "lens_1", "lens_2", "1_2")
    assert len({object_words(parse_name(name)) for name in names}) == len(names)


@given(st.text(max_size=30))
def test_any_name_is_read(name: str) -> None:
    assert object_words(parse_name(name)) == object_words(parse_name(name))
