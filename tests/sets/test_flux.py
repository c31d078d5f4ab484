"""The two named resizes."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import default_method, resize, resize_flux

IMAGES = np.random.default_rng(0).normal(size=(2, 1, 150, 150))


@pytest.mark.parametrize("size", [28, 64, 150, 200])
def test_bilinear_is_that_of_the_reference_project(size: int) -> None:
    expected = interpolate(
        torch.from_numpy(IMAGES), size=size, mode="bilinear", align_corners=False
    )
    assert np.allclose(resize(IMAGES, size, "bilinear"), expected.numpy(), atol=1e-12)


def test_area_is_the_mean_of_blocks_where_sizes_divide() -> None:
    blocks = IMAGES.reshape(2, 1, 50, 3, 50, 3).mean((3, 5))
    assert np.allclose(resize(IMAGES, 50, "area"), blocks)


@pytest.mark.parametrize("size", [28, 64, 149])
def test_area_keeps_the_mean_exactly(size: int) -> None:
    mean = resize(IMAGES, size, "area").mean((2, 3))
    assert np.allclose(mean, IMAGES.mean((2, 3)), atol=1e-14)


def test_area_of_uneven_sizes_weighs_by_overlap() -> None:
    row = np.array([[1.0, 2.0, 4.0]]).repeat(3, axis=0)
    assert np.allclose(resize(row, 2, "area")[0], [(1 + 0.5 * 2) / 1.5, (0.5 * 2 + 4) / 1.5])


def test_flux_is_shared_out_and_added_up_exactly() -> None:
    for size in (64, 200):
        assert np.allclose(resize_flux(IMAGES, size, "area").sum((2, 3)), IMAGES.sum((2, 3)))
    even = np.full((1, 30, 30), 2.0, np.float32)
    assert np.allclose(resize_flux(even, 10, "bilinear"), 18.0)
    assert resize_flux(even, 60, "area").dtype == np.float32
    assert np.allclose(resize_flux(even, 60, "area"), 0.5)


def test_dtype_stays_and_names_are_checked() -> None:
    assert resize(IMAGES.astype(np.float32), 28, "area").dtype == np.float32
    assert [default_method(size) for size in (28, 64, 150)] == ["bilinear", "area", "area"]
    with pytest.raises(GravLensError, match="unknown resize 'cubic'; choose from bilinear, area"):
        resize(IMAGES, 28, "cubic")
    with pytest.raises(GravLensError, match="at least 1"):
        resize(IMAGES, 0, "area")


def test_resize_of_the_middle_is_that_of_a_cut_out() -> None:
    images = np.random.default_rng(0).random((2, 1, 12, 12))
    middle = images[..., 2:-2, 2:-2]
    for method, size in (("area", 4), ("area", 16), ("bilinear", 4)):
        assert np.allclose(
            resize_flux(images, size, method, 8.0), resize_flux(middle, size, method)
        )
    with pytest.raises(GravLensError, match="no part of 13 pixels"):
        resize_flux(images, 4, "area", 13.0)
