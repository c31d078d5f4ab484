"""What can be made of a set: a part of it, its middle, another size, other classes, its twins."""

import pickle

import numpy as np
import pytest

from gravlensdiffusion import simulate
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import resize
from gravlensdiffusion.sets.images import evenly_spread
from gravlensdiffusion.sets.lens_set import middle
from gravlensdiffusion.sets.records import SetHeader
from gravlensdiffusion.sets.training_set import digest_of, prepare
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_records, with_twins
from tests.sources import ArraySource, rings


def test_flux_per_pixel_is_kept_in_sum():
    source = rings(6)
    sized = source.resized(8, "area")
    images = sized.read([4, 1])
    assert images.dtype == np.float32
    assert images.shape == (2, 1, 8, 8)
    assert images.sum((1, 2, 3)) == pytest.approx(source.images[[4, 1]].sum((1, 2, 3)), rel=1e-5)
    assert sized.shape == (6, 1, 8, 8)
    assert sized.header.pixel_scale_arcsec == pytest.approx(0.2)
    assert sized.header.resize == "area"


def test_a_unit_that_is_not_told_is_the_one_that_it_is_taken_for():
    source = rings(4)
    silent = ArraySource(source.images, source.labels, SetHeader(flux_unit="unknown"))
    mean = resize(source.images, 8, "area")
    for taken_for, factor in ((None, 4), ("Jy", 4), ("peak", 1)):
        images = silent.resized(8, "area", flux_unit=taken_for).read(range(4))
        assert images == pytest.approx(factor * mean, rel=1e-5)
    told = ArraySource(source.images, source.labels, SetHeader(flux_unit="MJy/sr"))
    assert told.resized(8, "area", flux_unit="Jy").read(range(4)) == pytest.approx(mean)


@pytest.mark.parametrize(("shape", "words"), [((8, 9), "square"), ((8, 8), "fewer than 10")])
def test_images_that_cannot_be_brought_to_size_are_refused(shape, words):
    source = ArraySource(np.zeros((1, 1, *shape), dtype=np.float32), np.zeros(1, dtype=np.int16))
    with pytest.raises(GravLensError, match=words):
        source.resized(10, "area")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda source: source.resized(0), "at least 1 pixel, got 0"),
        (lambda source: source.resized(-2), "at least 1 pixel, got -2"),
        (lambda source: source.resized(8, "nearest"), "unknown resize 'nearest'"),
        (lambda source: source.crop(0), "at least 1 pixel a side, got 0"),
        (lambda source: source.crop(17), "too few to crop"),
        (lambda source: source.labelled([0, 1], ("a", "b")), "4 images take as many labels"),
        (lambda source: source.labelled([0, 1, 2, -1], ("a", "b")), "labels from -1 to 1"),
        (lambda source: source.labelled([0, 1, -2, 1], ("a", "b")), "labels from -1 to 1"),
        (lambda source: source.relabelled({"medium": "a"}), "no class 'medium'"),
    ],
)
def test_what_cannot_be_made_of_a_set_is_refused_before_an_image_is_read(make, words):
    with pytest.raises(GravLensError, match=words):
        make(rings(4))


def test_a_set_is_known_by_the_digest_of_its_training(tmp_path):
    source = rings(30)
    assert digest_of(source.resized(8, "area")) == prepare(source, tmp_path, 8, "area").fingerprint


def test_a_set_of_another_kind_names_images_by_their_numbers():
    assert rings(3).resized(8).select([2, 0]).name(0) == "image 2"


def test_the_same_images_are_read_whole_in_every_order():
    class Parts(ArraySource):
        def read_whole(self, index):
            return np.full((1, 20, 20), index, np.float32)

    source = rings(4)
    parts = Parts(source.images, source.labels, source.header)
    order = [2, 0, 3]
    for made in (parts.select(order), parts.relabelled({"small": "round"}).select(order)):
        assert [made.read_whole(k).mean() for k in range(3)] == order
    assert parts.crop(8).read_whole(1).shape == (1, 8, 8)


def test_blocks_are_walked_through_as_often_as_asked(monkeypatch):
    source = rings(7)
    blocks = source.blocks(3)
    for _ in range(2):
        assert [len(block) for block in blocks] == [3, 3, 1]
    monkeypatch.setattr("gravlensdiffusion.sets.images.BLOCK_BYTES", 4 * 4 * 16**2)
    np.testing.assert_array_equal(np.concatenate(list(source.blocks())), source.images)
    assert [len(block) for block in source.blocks()] == [4, 3]


@pytest.mark.parametrize(
    ("side", "size", "start"), [(10, 4, 3), (9, 3, 3), (9, 4, 2), (10, 3, 3), (7, 7, 0)]
)
def test_the_middle_keeps_the_centre_or_lies_half_a_pixel_before_it(side, size, start):
    y, x = np.mgrid[:side, : side + 2]
    assert middle(y, size)[:, 0].tolist() == list(range(start, start + size))
    assert middle(x, size)[0].tolist() == list(range(start + 1, start + 1 + size))
    assert (start + start + size) / 2 - side / 2 in (0, -0.5)


def test_a_part_keeps_what_is_known_of_its_images(tmp_path):
    store = LensStore(write_store(tmp_path / "a.h5", with_twins(lens_records()), HEADER))
    rows = np.array([4, 2, 1])
    part = pickle.loads(pickle.dumps(store.select(rows).crop(4).select([2, 1, 0])))
    rows = rows[::-1]
    np.testing.assert_array_equal(part.read([1]), store.read([2])[..., 2:6, 2:6])
    np.testing.assert_array_equal(
        part.twins().read(slice(None)), store.read_noise_free(rows)[..., 2:6, 2:6]
    )
    assert part.labels.tolist() == store.labels[rows].tolist()
    for name, values in store.parameters.items():
        np.testing.assert_array_equal(part.parameters[name], values[rows])
    for k, row in enumerate(rows):
        own = part.subhaloes[part.subhaloes["image"] == k]
        theirs = store.subhaloes[store.subhaloes["image"] == row]
        assert own["mass"].tolist() == theirs["mass"].tolist()
    assert len(part.subhaloes) == 5
    assert part.name(0) == store.name(1)
    with pytest.raises(IndexError, match="0 to 2"):
        part.read([3])


def test_one_image_is_had_by_its_number_and_all_by_walking_through():
    lenses = simulate("deeplense", 5, size=14, flux_unit="e-/s")
    assert lenses[3].shape == (1, 14, 14)
    assert np.array_equal(lenses[-1], lenses.read([4])[0])
    assert np.array_equal(lenses[1:3], lenses.read([1, 2]))
    assert [each.shape for each in lenses] == [(1, 14, 14)] * 5
    with pytest.raises(IndexError, match="0 to 4"):
        lenses[5]
    with pytest.raises(IndexError, match="0 to 4"):
        lenses[-6]


def test_images_may_be_chosen_by_whether_each_is_wanted(tmp_path):
    store = LensStore(write_store(tmp_path / "a.h5", with_twins(lens_records()), HEADER))
    places = [1, 4]
    is_cdm = store.labels == 1
    assert np.flatnonzero(is_cdm).tolist() == places
    for source in (store, store.select(range(7)), prepare(store, tmp_path, 8, "area").images):
        for wanted in (is_cdm, is_cdm.tolist()):
            assert np.array_equal(source[wanted], source[places])
            assert np.array_equal(source.read_noise_free(wanted), source.read_noise_free(places))
            assert source.select(wanted).labels.tolist() == [1, 1]
        with pytest.raises(IndexError, match="boolean"):
            source[is_cdm[:3]]
        with pytest.raises(IndexError, match="whole numbers, got float64"):
            source[[0.5, 1.0]]
        assert len(source[[]]) == 0


def test_a_set_says_in_short_what_it_is():
    lenses = simulate("deeplense", 1000, size=14, flux_unit="e-/s")
    counts = ", ".join(f"{name} {num}" for name, num in lenses.class_counts.items())
    assert repr(lenses) == f"SimulatedSet(1,000 images of 14x14 pixels in e-/s; {counts})"
    assert repr(lenses.select([0]).labelled(np.array([-1]), ())) == (
        "View(1 image of 14x14 pixels in e-/s)"
    )


@pytest.mark.parametrize(
    ("num", "most"), [(0, 16), (1, 16), (15, 16), (16, 16), (17, 16), (9999, 64)]
)
def test_numbers_are_spread_from_the_first_to_the_last(num, most):
    found = evenly_spread(num, most)
    assert len(found) == min(num, most)
    # Each once, and all where there are no more than are wanted.
    assert len(set(found.tolist())) == len(found)
    if num:
        assert (found[0], found[-1]) == (0, num - 1)
        gaps = np.diff(found)
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_classes_get_an_order_and_those_that_are_left_out_have_none():
    source = rings(4).labelled(np.array([1, -1, 0, 2]), ("cdm", "b", "no_sub"))
    found = source.with_classes(("no_sub", "cdm", "axion", "b"))
    assert found.header.class_names == ("no_sub", "cdm", "axion", "b")
    assert found.labels.tolist() == [3, -1, 1, 0]
    assert found.with_present_classes().header.class_names == ("no_sub", "cdm", "b")
    assert source.with_classes(["cdm", "no_sub"]).labels.tolist() == [-1, -1, 0, 1]
    assert source.with_classes(("cdm", "b", "no_sub")) is source
