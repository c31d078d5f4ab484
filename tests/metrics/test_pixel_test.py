"""The classifier on pixels: what it finds, what it does not invent, and its planted defects."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.defects import plant
from gravlensdiffusion.metrics.pixel_network import PixelNetwork
from gravlensdiffusion.metrics.pixel_test import (
    Bags,
    PixelTraining,
    _measure_bags,
    compare_pixels,
    planted_scores,
    valid_bag,
)
from gravlensdiffusion.metrics.two_sample import Auc
from tests.sources import rings

Images = NDArray[np.float32]

QUICK = PixelTraining(epochs=3, held_out=0.4, min_batches=0)


def lenses(num: int, seed: int, size: int = 16) -> Images:
    """Return rings with a noise of 0.003 at 0.01 above zero."""
    return rings(num, size, seed).images


def peak_scaled(images: Images) -> Images:
    lowest, highest = (part((1, 2, 3), keepdims=True) for part in (images.min, images.max))
    return (images - lowest) / (highest - lowest)


def compare(generated: Images, real: Images, seed: int = 0) -> Bags:
    return compare_pixels(generated, real, np.random.default_rng(seed), QUICK)


def test_blurred_images_are_found() -> None:
    blurred = plant(lenses(300, 0)[:, 0], "blur", 0.8, np.random.default_rng(0))
    assert compare(blurred[:, None], lenses(300, 1))[1].value > 0.95


def test_other_shapes_are_found() -> None:
    narrow = lenses(700, 0)[::2]
    assert compare(narrow, lenses(300, 1))[1].value > 0.65


def test_one_distribution_gives_one_half_whichever_is_larger() -> None:
    found = compare(lenses(500, 2), lenses(200, 3))
    assert found[1].value == pytest.approx(0.5, abs=3 * found[1].standard_error)


def test_exact_extremes_give_nothing_away() -> None:
    nearly = 0.002 + 0.996 * peak_scaled(lenses(250, 4))
    found = compare(nearly, peak_scaled(lenses(250, 5)))
    assert found[1].value == pytest.approx(0.5, abs=3 * found[1].standard_error)


def test_swapping_the_sets_finds_as_much() -> None:
    a, b = lenses(300, 6), lenses(300, 7)
    a = a + np.random.default_rng(0).normal(0, 0.009, a.shape).astype(np.float32)
    one, other = compare(a, b), compare(b, a)
    assert min(one[1].value, other[1].value) > 0.9
    assert one[1].value == pytest.approx(other[1].value, abs=0.08)


def test_seed_fixes_everything_and_the_global_state_is_left_alone() -> None:
    a, b = lenses(60, 8), lenses(60, 9)
    before = torch.random.get_rng_state()
    one, same, other = (compare(a, b, seed) for seed in (0, 0, 1))
    assert one == same != other
    assert torch.equal(before, torch.random.get_rng_state())


def test_bags_of_gaussian_scores_separate_with_the_root_of_their_size() -> None:
    rng = np.random.default_rng(10)
    bags = _measure_bags(rng.normal(1, 1, 4000), rng.normal(size=4000), rng)
    assert list(bags) == [1, 2, 4, 8]
    for size, auc in bags.items():
        # Phi(d' / sqrt(2)) with d' = sqrt(size).
        expected = 0.5 * (1 + math.erf(math.sqrt(size) / 2))
        assert auc.value == pytest.approx(expected, abs=3 * auc.standard_error)
    assert list(_measure_bags(rng.normal(size=30), rng.normal(size=99), rng)) == [1, 2]


@pytest.mark.parametrize(
    ("noise", "blur", "valid"),
    [((0.96, 0.99), (0.99, 1.0), 1), ((0.9, 0.96), (0.99, 1.0), 2), ((0.9, 0.94), (1, 1), None)],
)
def test_validity_is_the_smallest_bag_at_which_both_are_found(
    noise: tuple[float, float], blur: tuple[float, float], valid: int | None
) -> None:
    sides = (
        {k: Auc(value=area, standard_error=0.01) for k, area in zip((1, 2), areas, strict=True)}
        for areas in (noise, blur)
    )
    assert valid_bag(*sides) == valid


def test_planted_blur_is_scored_on_halves() -> None:
    _, blurred = planted_scores(
        lenses(401, 11), np.random.default_rng(0), PixelTraining(max_images=100, min_batches=30)
    )
    assert blurred[1].value > 0.9
    # Of 100 images a side 20 are scored: two bags of 8 are too few.
    assert list(blurred) == [1, 2]


def test_a_network_knows_the_noise_on_a_plane() -> None:
    y, x = np.mgrid[:32, :32]
    noise = np.random.default_rng(0).normal(0, 0.2, (100, 1, 32, 32))
    network = PixelNetwork((3 + 2 * x - y + noise).astype(np.float32))
    assert network.noise.item() == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize(("size", "stride"), [(16, 1), (28, 1), (64, 2), (150, 4)])
def test_a_pixel_is_not_predicted_from_itself(size: int, stride: int) -> None:
    images = torch.from_numpy(lenses(2, 13, size))
    network = PixelNetwork(images.numpy()).eval()
    assert network.stride == stride
    row = column = stride - 1
    changed = images.clone()
    changed[0, 0, row + 4 * stride, column + 4 * stride] += 0.5
    with torch.no_grad():
        before, after = (network(batch, row, column)[1] for batch in (images, changed))
    pixels = [batch[0, 0, row + 4 * stride, column + 4 * stride] for batch in (images, changed)]
    own = [torch.asinh((pixel - network.sky) / (2 * network.noise)).item() for pixel in pixels]
    assert (after - before)[0, 0, 4, 4].item() == pytest.approx(own[1] - own[0], rel=1e-3)
    assert torch.equal(before[1], after[1])


def test_images_of_several_channels_are_compared() -> None:
    a, b = (np.repeat(lenses(40, seed), 2, axis=1) for seed in (14, 15))
    assert 0 <= compare(a, b)[1].value <= 1


def test_mistakes_are_named() -> None:
    with pytest.raises(GravLensError, match="at least 16 pixels a side, got 8 x 8"):
        compare(lenses(40, 0, size=8), lenses(40, 1, size=8))


@pytest.mark.slow
def test_ten_per_cent_more_noise_is_found() -> None:
    planted = planted_scores(
        lenses(6000, 16, size=28), np.random.default_rng(0), PixelTraining(epochs=4)
    )
    assert valid_bag(*planted) == 1
