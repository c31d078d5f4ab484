"""Samples as they are handled in a notebook."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gravlensdiffusion import open_set
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.samples import LensSamples
from gravlensdiffusion.sets.records import SetHeader


@pytest.fixture
def samples() -> LensSamples:
    images = np.random.default_rng(0).random((5, 1, 12, 12), np.float32)
    labels = np.array([0, 1, 0, 1, -1], np.int16)
    header = SetHeader(class_names=("cdm", "axion"), flux_unit="e-/s")
    return LensSamples(images=images, labels=labels, header=header)


def test_they_say_in_short_what_they_are(samples):
    assert repr(samples) == "LensSamples(5 images of 12x12 pixels in e-/s; cdm 2, axion 2)"


def test_they_become_a_tensor(samples):
    tensor = samples.to_torch()
    assert tensor.dtype == torch.float32
    assert np.array_equal(tensor.numpy(), samples.images)


def test_they_are_shown_with_their_classes_and_row_0_at_the_bottom(samples):
    samples.images[:] = np.linspace(1, 0, 12)[:, None]
    picture = np.asarray(samples.plot(1), dtype=float)
    column = picture[16:-1, picture.shape[1] // 2]
    assert column[-1] == 255
    assert (np.diff(column) >= 0).all()
    assert (picture[:14] < 50).any()
    assert samples.plot(2).size[0] > samples.plot(1).size[0]
    for num in (0, -1):
        with pytest.raises(GravLensError, match="at least 1"):
            samples.plot(num)


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "a.npy"])
def test_what_is_saved_can_be_opened(tmp_path, samples, name):
    again = open_set(samples.save(tmp_path / name))
    assert np.array_equal(again.read(slice(None)), samples.images)
    if name != "a.npy":
        assert again.header.class_names == ("cdm", "axion")
    with pytest.raises(GravLensError, match="exists already"):
        samples.save(tmp_path / name)
    samples.save(tmp_path / name, overwrite=True)


@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
def test_samples_without_classes_can_be_opened(tmp_path, samples, name):
    header = SetHeader(flux_unit="e-/s")
    plain = replace(samples, labels=np.full(5, -1, np.int16), header=header)
    again = open_set(plain.save(tmp_path / name))
    assert again.header.class_names == ()
    assert again.labels.tolist() == [-1] * 5


def test_each_image_is_saved_as_a_file_of_its_own(tmp_path, samples):
    folder = samples.save(tmp_path / "a", formats=("fits", "png"))
    assert sorted(each.name for each in folder.iterdir()) == ["fits", "png"]
    again = open_set(folder / "fits")
    assert np.array_equal(again.read(slice(None)), samples.images)
    with pytest.raises(GravLensError, match="exists already"):
        samples.save(tmp_path / "a", formats=("fits",))
    with pytest.raises(GravLensError, match="unknown format 'tiff'; choose from h5"):
        samples.save(tmp_path / "b", formats=("tiff",))


def test_a_picture_is_saved_and_other_suffixes_are_refused(tmp_path, samples):
    assert samples.save(tmp_path / "a.png").stat().st_size > 100
    with pytest.raises(GravLensError, match=r"a\.csv: the file's name must end in one of \.h5 "):
        samples.save(tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()
