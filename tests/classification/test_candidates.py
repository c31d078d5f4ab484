from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.classification.candidates import doubts, for_classifier
from gravlensdiffusion.errors import GravLensError
from tests.classification.networks import CONFIG
from tests.classification.planted import HEADER, SIZE, planted
from tests.sources import ArraySource


def made(size=SIZE, channels=1, factor=1.0, **header):
    images = np.repeat(planted(8, 0).images, channels, axis=1) * np.float32(factor)
    images = images.repeat(size // SIZE, axis=2).repeat(size // SIZE, axis=3)
    images = images[..., :size, :size]
    return ArraySource(images, np.zeros(8, dtype=np.int16), replace(HEADER, **header))


def test_images_like_those_of_training_are_taken():
    sized = for_classifier(CONFIG, made())
    assert list(doubts(CONFIG, sized)) == []


def test_larger_images_of_the_same_field_are_resized():
    sized = for_classifier(CONFIG, made(3 * SIZE, pixel_scale_arcsec=0.1 / 3))
    assert sized.image_shape[1:] == (SIZE, SIZE)
    # Without a pixel scale, only those that it was trained on are known to show the same field.
    assert for_classifier(CONFIG, made(2 * SIZE, pixel_scale_arcsec=None)).image_shape == (
        1,
        SIZE,
        SIZE,
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (made(channels=2), "2 channels, the classifier was trained on 1"),
        (made(flux_unit="peak"), "flux unit peak, the classifier was trained on e-/s"),
        (made(pixel_scale_arcsec=0.2), "have 0.2 arcsec, those .* 0.1"),
        (made(2 * SIZE), "2.4 arcsec on 24 pixels, .* 1.2 arcsec on 12: not the same field"),
        (made(3 * SIZE, pixel_scale_arcsec=None), "36 pixels a side .* takes 12 or 24"),
    ],
)
def test_other_images_are_refused(source, words):
    with pytest.raises(GravLensError, match=words):
        for_classifier(CONFIG, source)


def test_small_images_are_refused():
    with pytest.raises(GravLensError, match="12 x 12 pixels, the classifier was trained on 24"):
        for_classifier(replace(CONFIG, image_size=24), made())


def test_what_is_not_known_is_said():
    sized = for_classifier(CONFIG, made(flux_unit="unknown", pixel_scale_arcsec=None))
    unit, scale = doubts(CONFIG, sized)
    assert "flux unit of the images is unknown" in unit
    assert "pixel scale of the images is not known" in scale


@pytest.mark.parametrize("factor", [255.0, 1e-3])
def test_suspicious_brightness_is_said_where_the_unit_is_not_known(factor):
    sized = for_classifier(CONFIG, made(factor=factor, flux_unit="unknown"))
    assert "times as bright" in list(doubts(CONFIG, sized))[1]
