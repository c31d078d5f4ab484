import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from gravlensdiffusion.classification.candidates import Candidates
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.training_set import digest_of
from gravlensdiffusion.training.classifier import predict_logits
from tests.classification.networks import CONFIG, untrained
from tests.classification.planted import HEADER, SIZE, planted
from tests.sources import ArraySource


def made(size=SIZE, channels=1, factor=1.0, **header):
    images = np.repeat(planted(8, 0).images, channels, axis=1) * np.float32(factor)
    images = images.repeat(size // SIZE, axis=2).repeat(size // SIZE, axis=3)
    images = images[..., :size, :size]
    return ArraySource(images, np.zeros(8, dtype=np.int16), replace(HEADER, **header))


def test_images_like_those_of_training_are_taken():
    assert Candidates.of(CONFIG, made()).doubts == ()


def test_larger_images_of_the_same_field_are_resized():
    sized = Candidates.of(CONFIG, made(3 * SIZE, pixel_scale_arcsec=0.1 / 3)).images
    assert sized.image_shape[1:] == (SIZE, SIZE)
    # Without a pixel scale, only those that it was trained on are known to show the same field.
    known = Candidates.of(CONFIG, made(2 * SIZE, pixel_scale_arcsec=None)).images
    assert known.image_shape == (1, SIZE, SIZE)


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
        Candidates.of(CONFIG, source)


def test_small_images_are_refused():
    with pytest.raises(GravLensError, match="12 x 12 pixels, the classifier was trained on 24"):
        Candidates.of(replace(CONFIG, image_size=24), made())


def test_what_is_not_known_is_said():
    source = made(flux_unit="unknown", pixel_scale_arcsec=None)
    unit, scale = Candidates.of(CONFIG, source).doubts
    assert "flux unit of the images is unknown" in unit
    assert "pixel scale of the images is not known" in scale


@pytest.mark.parametrize("factor", [255.0, 1e-3])
def test_suspicious_brightness_is_said_where_the_unit_is_not_known(factor):
    source = made(factor=factor, flux_unit="unknown")
    assert "times as bright" in Candidates.of(CONFIG, source).doubts[1]


def test_a_set_is_read_in_the_numbers_of_the_classifier():
    merged = (("no_sub", "lens"), ("cdm", "lens"))
    config = replace(CONFIG, class_names=("no_lens", "lens"), merged=merged)
    source = planted(5, 0)
    source.labels = np.array([0, 1, 3, -1, 2], dtype=np.int16)
    source.header = replace(HEADER, class_names=("no_sub", "cdm", "axion", "no_lens"))
    found = Candidates.of(config, source)
    assert found.labels.tolist() == [1, 1, 0, -1, -1]
    assert found.label_names == ("lens", "lens", "no_lens", "", "axion")
    assert found.unknown == ("axion",)
    # A class that has a name and no image is no matter.
    assert Candidates.of(config, source.select([0, 2])).unknown == ()


def test_all_images_are_classified_in_order_and_once():
    source, done = planted(300, 0), []
    candidates = Candidates.of(CONFIG, source)
    logits = candidates.ask(untrained(), device="cpu", progress=done.append)
    assert logits == pytest.approx(predict_logits(untrained(), source.images), abs=1e-4)
    assert done[-1] == 300
    assert candidates.digest == digest_of(source.resized(None, "area"))
    assert candidates.ask(untrained(), progress=done.append) is logits
    assert done[-1] == 300


def test_damaged_weights_are_refused():
    network = untrained()
    torch.nn.init.constant_(network.squeeze.bias, torch.nan)
    with pytest.raises(GravLensError, match="too bright"):
        Candidates.of(CONFIG, made(factor=2e38)).ask(untrained(), device="cpu")
    with pytest.raises(GravLensError, match="weights are damaged"):
        Candidates.of(CONFIG, planted(4, 0)).ask(network, device="cpu")


class _OddlyNamed(ArraySource):
    def name(self, index):
        return ("a,b.npy", 'c"d.npy', "e\udcff.npy")[index]


def test_the_table_holds_odd_names_as_they_are(tmp_path):
    names = ("lens", "no lens")
    source = _OddlyNamed(
        planted(3, 0).images, np.array([1, -1, 0], np.int16), replace(HEADER, class_names=names)
    )
    p = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    candidates = Candidates.of(replace(CONFIG, class_names=names), source)
    candidates.write_table(tmp_path / "p.csv", p)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["index", "name", "label", "p_lens", "p_no lens", "called"]
    assert rows[1] == ["0", "a,b.npy", "no lens", "0.25", "0.75", "no lens"]
    assert rows[2] == ["1", 'c"d.npy', "", "1", "0", "lens"]
    assert rows[3][1] == "e\\udcff.npy"
