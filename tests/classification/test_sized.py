import numpy as np
import pytest

from gravlensdiffusion.classification.sized import SetDigest, SizedSource, to_unit_range
from gravlensdiffusion.data.dataset import prepare
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.records import SetHeader
from gravlensdiffusion.resize import resize
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


def test_scaled_images_are_scaled_again():
    source = rings(4)
    peak = ArraySource(to_unit_range(source.images), source.labels, SetHeader(flux_unit="peak"))
    images = SizedSource(peak, 8, "area").read(range(4))
    assert images.min((1, 2, 3)).tolist() == [0.0] * 4
    assert images.max((1, 2, 3)).tolist() == [1.0] * 4
    other = ArraySource(source.images, source.labels, SetHeader(flux_unit="MJy/sr"))
    expected = resize(source.images, 8, "area")
    assert SizedSource(other, 8, "area").read(range(4)) == pytest.approx(expected, rel=1e-5)


def test_images_of_the_size_asked_for_stay_as_they_are():
    source = rings(3)
    sized = SizedSource(source, None, "bilinear")
    assert not sized.is_resized
    assert np.array_equal(sized.read([2]), source.images[[2]])
    assert sized.header == source.header


def test_a_flat_image_is_scaled_without_a_warning():
    assert to_unit_range(np.full((1, 1, 2, 2), 3, dtype=np.float32)).tolist() == [
        [[[0, 0], [0, 0]]]
    ]


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
