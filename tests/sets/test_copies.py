"""Copies of images, and what the names of files say of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.copies import (
    Signatures,
    are_known,
    encode_thumbnails,
    group,
    read_thumbnails,
    sign,
)
from gravlensdiffusion.sets.naming import natural_key, object_words, parse_name
from gravlensdiffusion.simulation.generate import select
from gravlensdiffusion.simulation.simulated_set import simulate

NUM = 40


def lenses(num=NUM, seed=0, size=28):
    """Return blobs at places of their own, of a noise that is faint beside them."""
    rng = np.random.default_rng(seed)
    grid = np.arange(size) / size
    x, y = rng.uniform(0.25, 0.75, (2, num, 1, 1))
    distance = (grid[None, None] - x) ** 2 + (grid[None, :, None] - y) ** 2
    images = np.exp(-distance / 0.02) + rng.normal(0, 0.01, (num, size, size))
    return images[:, None].astype(np.float32)


def in_8_bits(images):
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    return np.round((images - low) / (high - low) * 255).astype(np.float32)


@pytest.mark.parametrize(
    "copy",
    [
        np.copy,
        in_8_bits,
        lambda images: images.astype(np.float16).astype(np.float32),
        lambda images: 3 * images + 7,
        lambda images: images + np.random.default_rng(1).normal(0, 1e-3, images.shape),
    ],
    ids=["equal", "8 bits", "float16", "scaled", "noise"],
)
def test_copies_are_known_whatever_became_of_their_numbers(copy):
    images = lenses()
    order = np.random.default_rng(2).permutation(NUM)
    copied = copy(images)[order].astype(np.float32)
    found = group([sign([images, copied])])
    assert found.num_different == NUM
    assert np.array_equal(found.groups[NUM:], found.groups[order])
    assert f"{NUM} of {2 * NUM} images are copies" in found.note


def test_other_images_are_no_copies_and_nothing_is_said():
    found = group([sign([lenses()[:7], lenses()[7:]])])
    assert (found.num_different, found.note) == (NUM, "")


def test_lenses_of_equal_parameters_but_other_substructure_are_no_copies():
    config = select(simulation_preset("deeplense"), size=28)
    of = [
        np.stack([each.image for each in simulate(select(config, classes=[name]), 4, 3).records()])
        for name in ("no_sub", "axion")
    ]
    assert group([sign(of)]).num_different == 8


def test_one_image_very_often_is_one_group():
    images = np.repeat(lenses(1), 3000, axis=0)
    images += np.random.default_rng(0).normal(0, 1e-4, images.shape).astype(np.float32)
    assert group([sign([images])]).num_different == 1


def test_images_that_show_nothing_are_no_copies_of_each_other():
    images = lenses(4)
    images[1:3] = 0
    assert group([sign([images])]).num_different == 4


def test_bands_of_one_object_are_one_group():
    names = ["a/lens7_g.fits", "a/lens7_r.fits", "a/lens8_g.fits", "b/lens7_i.fits", "a/x_b.fits"]
    names += ["a/J12_F814W_drz.fits", "a/J12_F160W_drz.fits", "a/x_c.fits"]
    found = group([sign([lenses(len(names))])], names).groups
    assert found[0] == found[1]
    assert found[5] == found[6]
    assert len(set(found.tolist())) == 6


def test_observations_of_one_object_are_one_group():
    names = [
        "lens7_epoch1.fits",
        "lens7_epoch2.fits",
        "lens8_visit_01.fits",
        "lens8_visit_02_g.fits",
    ]
    names += ["lens_obs1.fits", "lens_obs2.fits", "obs_1.fits", "obs_2.fits"]
    found = group([sign([lenses(len(names))])], names).groups
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len(set(found.tolist())) == 6


def test_images_of_one_stack_are_of_many_objects():
    names = [f"a/lenses_{band}.npz[{k}]" for band in "gr" for k in range(3)]
    assert group([sign([lenses(6)])], names).groups.tolist() == [0, 1, 2, 0, 1, 2]


def test_thumbnails_alone_tell_who_is_known(tmp_path):
    known, others = lenses(), lenses(seed=9)
    path = tmp_path / "known.npy"
    path.write_bytes(encode_thumbnails(sign([known]).thumbnails))
    stored = Signatures.of_thumbnails(read_thumbnails(path))
    told = are_known(sign([others[:5], in_8_bits(known[:3])]), stored)
    assert told.tolist() == [False] * 5 + [True] * 3
    path.write_bytes(encode_thumbnails(np.full((2, 64), np.nan)))
    assert read_thumbnails(path) is None
    path.write_bytes(b"no thumbnails")
    assert read_thumbnails(path) is None
    assert read_thumbnails(tmp_path / "none.npy") is None
    assert read_thumbnails(tmp_path) is None


def test_thumbnails_cannot_ask_for_more_memory_than_they_hold(tmp_path):
    path = tmp_path / "known.npy"
    for shape, length in (((10**12, 64), 1000), ((10**9, 64), 128 * 10**9)):
        with path.open("wb") as file:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            # A hole: the file has that length and holds nothing.
            file.truncate(file.tell() + length)
        assert read_thumbnails(path) is None
    np.save(path, np.zeros((3, 64), dtype=object), allow_pickle=True)
    assert read_thumbnails(path) is None


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
