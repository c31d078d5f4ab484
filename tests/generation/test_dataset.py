"""Sets and models as PyTorch's data loaders take them."""

import pickle
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from gravlensdiffusion import GravLensError, LensDataset, simulate, write_store
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.request import Span
from tests.models import awake
from tests.sources import rings


@pytest.fixture(scope="module")
def generator() -> LensGenerator:
    return LensGenerator(awake(), name="ordered")


def batches(dataset, num=3, **options):
    found = list(islice(DataLoader(dataset, batch_size=4, **options), num))
    return torch.cat([images for images, _ in found]), torch.cat([labels for _, labels in found])


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_model_gives_the_same_images_with_any_number_of_workers(generator, num_workers):
    dataset = LensDataset(generator, seed=3, num_steps=2)
    alone, labels = batches(dataset)
    shared, again = batches(dataset, num_workers=num_workers, prefetch_factor=1)
    assert torch.equal(alone, shared)
    assert labels.tolist() == again.tolist()
    # They are those that the model gives without any loader.
    samples = generator.sample(12, seed=3, num_steps=2, batch_size=4)
    assert np.array_equal(samples.images, alone.numpy())
    assert samples.labels.tolist() == labels.tolist()
    assert samples.header.class_names == dataset.classes


def test_image_k_does_not_depend_on_what_is_read_beside_it(generator):
    asked = {"parameters": {"theta_E": Span(1.1, 1.3)}, "label": ("axion", "cdm"), "num_steps": 2}
    dataset = LensDataset(generator, **asked)
    some = dataset.__getitems__([7, 8, 3, 7])
    assert [label for _, label in some] == [1, 2, 1, 1]
    single, label = dataset[7]
    assert label == 1
    for image in (some[0][0], some[3][0]):
        torch.testing.assert_close(image, single, rtol=0, atol=1e-5 * float(single.abs().max()))
    shifted = LensDataset(generator, first=6, **asked)
    torch.testing.assert_close(shifted[1][0], single, rtol=0, atol=1e-5)


def test_a_model_has_no_end_unless_it_is_given_one(generator):
    endless = LensDataset(generator, num_steps=1)
    assert len(DataLoader(endless, batch_size=64)) > 10**15
    assert endless[10**12][0].shape == generator.image_shape
    epoch = LensDataset(generator, num=6, num_steps=1)
    first, second = (torch.cat([images for images, _ in DataLoader(epoch, 4)]) for _ in range(2))
    assert len(first) == 6
    assert torch.equal(first, second)
    with pytest.raises(IndexError):
        epoch[6]
    shuffled = torch.cat([labels for _, labels in DataLoader(epoch, 4, shuffle=True)])
    assert sorted(shuffled.tolist()) == [0, 0, 1, 1, 2, 2]


def test_it_can_be_sent_to_other_processes(generator):
    dataset = LensDataset(generator, num_steps=1)
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[5][0], dataset[5][0])


def test_a_set_or_its_path_is_read_in_any_order(tmp_path):
    lenses = rings(10)
    write_store(tmp_path / "a.h5", lenses)
    for source in (lenses, tmp_path / "a.h5", str(tmp_path / "a.h5")):
        dataset = LensDataset(source, transform=lambda image: 2 * image)
        images, labels = batches(dataset, 9, num_workers=2)
        assert torch.equal(images, 2 * torch.from_numpy(lenses.images))
        assert labels.tolist() == lenses.labels.tolist()
    assert labels.dtype == torch.int64
    assert dataset.classes == ("small", "large")
    assert [label for _, label in dataset.__getitems__([3, 0, 3])] == [1, 0, 1]


def test_images_are_simulated_when_they_are_asked_for():
    lenses = simulate("deeplense", 50, size=28)
    image, label = LensDataset(lenses)[49]
    assert np.array_equal(image, lenses[49])
    assert label == lenses.labels[49]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"label": "vortex"}, "model 'ordered' has no class 'vortex'"),
        ({"label": ()}, "label must be the name of a class"),
        ({"parameters": {"theta_E": 9}}, "theta_E 9 is outside what model 'ordered' has learned"),
        ({"num": 0}, "`num` must be at least 1, got 0"),
    ],
)
def test_what_a_model_cannot_do_is_refused_before_anything_is_drawn(generator, asked, message):
    with pytest.raises(GravLensError, match=message):
        LensDataset(generator, **asked)


def test_a_set_is_asked_for_nothing():
    with pytest.raises(GravLensError, match="`label` is asked of a model, and this is a set"):
        LensDataset(rings(4), label="small")
    with pytest.raises(GravLensError, match="`num` is asked of a model"):
        LensDataset(rings(4), num=3)
