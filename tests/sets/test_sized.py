import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import resize
from gravlensdiffusion.sets.prepared import prepare
from gravlensdiffusion.sets.records import SetHeader
from gravlensdiffusion.sets.sized import SetDigest, SizedSource
from tests.sources import ArraySource, rings


def test_flux_per_pixel_is_kept_in_sum():
    source = rings(6)
    sized = SizedSource(source, 8, "area")
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
        images = SizedSource(silent, 8, "area", flux_unit=taken_for).read(range(4))
        assert images == pytest.approx(factor * mean, rel=1e-5)
    told = ArraySource(source.images, source.labels, SetHeader(flux_unit="MJy/sr"))
    assert SizedSource(told, 8, "area", flux_unit="Jy").read(range(4)) == pytest.approx(mean)


def test_images_of_the_size_asked_for_stay_as_they_are():
    source = rings(3)
    sized = SizedSource(source, None, "bilinear")
    assert not sized.is_resized
    assert np.array_equal(sized.read([2]), source.images[[2]])
    assert sized.header == source.header


@pytest.mark.parametrize(("shape", "words"), [((8, 9), "square"), ((8, 8), "fewer than 10")])
def test_images_that_cannot_be_brought_to_size_are_refused(shape, words):
    source = ArraySource(np.zeros((1, 1, *shape), dtype=np.float32), np.zeros(1, dtype=np.int16))
    with pytest.raises(GravLensError, match=words):
        SizedSource(source, 10, "area")


def test_a_set_is_known_by_the_digest_of_its_training(tmp_path):
    sized = SizedSource(rings(30), 8, "area")
    digest = SetDigest(sized.labels)
    for images in sized.blocks():
        digest.update(images)
    assert digest.hexdigest() == prepare(sized, tmp_path, 8, "area").fingerprint


def test_images_without_a_file_are_named_by_their_number():
    assert SizedSource(rings(3), None, "area").name(2) == "image 2"
