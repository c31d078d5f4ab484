"""Images of several channels: what one command writes, all can use."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.evaluate import Options, _reports
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.writers import check_channels, write_images
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.sets.training_set import prepare
from tests.evaluation.sets import prepared
from tests.sets.files import save_folder

HEADER = SetHeader(class_names=("a", "b"), pixel_scale_arcsec=0.1, flux_unit="e-/s")
IMAGES = np.random.default_rng(0).gamma(2, size=(6, 3, 16, 16)).astype(np.float32)
IMAGES *= np.array([1, 2, 4], np.float32)[:, None, None]


def written(folder: Path, *formats: str) -> Path:
    records = (LensRecord(image=image, label=k % 2) for k, image in enumerate(IMAGES))
    write_images(folder, records, HEADER, formats, model="m")
    return folder


def assert_alike(found: np.ndarray, form: str = "") -> None:
    # PNG keeps 8 bits of an asinh stretch over the range of the set.
    tolerance = {"png": 0.03 * IMAGES.max()}.get(form, 1e-6)
    np.testing.assert_allclose(found, IMAGES, atol=tolerance, rtol=1e-6)


@pytest.mark.parametrize("form", ["h5", "npy", "fits", "png"])
def test_every_format_is_read_back_and_used(form: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "set", form)
    source = open_set(folder if form == "h5" else folder / form)
    assert source.image_shape == (3, 16, 16)
    assert_alike(source.read(slice(None)), form)
    if form != "npy":
        assert source.header.flux_unit == "e-/s"
        assert source.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert_alike(prepare(source, tmp_path / "run", 16, "area").images[:], form)
    cropped = open_set(folder if form == "h5" else folder / form, crop=8)
    assert np.array_equal(cropped.read([4]), source.read([4])[..., 4:12, 4:12])
    pair = [PreparedSource(source, "mine", channel=2)] * 2
    ready = prepared(pair, size=8)[0]
    assert ready.title == "mine, channel 3 of 3"
    sums = source.read([1])[:, 2].sum()
    assert ready.read([1]).sum() == pytest.approx(sums, rel=1e-5)


@pytest.mark.parametrize("order", ["channels first", "channels last"])
@pytest.mark.parametrize("form", ["npy folder", "npy", "npz"])
def test_channels_are_the_first_axis_of_an_image_or_the_last(
    form: str, order: str, tmp_path: Path
) -> None:
    images = IMAGES if order == "channels first" else np.moveaxis(IMAGES, 1, -1)
    path = tmp_path / f"set.{form[:3]}"
    if form == "npy folder":
        save_folder(path := tmp_path / "set", images)
    elif form == "npz":
        np.savez_compressed(path, images=images)
    else:
        np.save(path, images)
    np.testing.assert_array_equal(open_set(path).read(slice(None)), IMAGES)


def test_one_file_of_three_planes_is_a_stack_and_of_three_last_an_image(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", IMAGES[0])
    np.save(tmp_path / "image.npy", np.moveaxis(IMAGES[0], 0, -1))
    assert len(open_set(tmp_path / "stack.npy")) == 3
    assert open_set(tmp_path / "image.npy").image_shape == (3, 16, 16)


def test_channels_are_not_mixed(tmp_path: Path) -> None:
    save_folder(tmp_path, IMAGES)
    np.save(tmp_path / "z.npy", IMAGES[0, 0])
    with pytest.raises(GravLensError, match="1 channel where most have 3 channels"):
        open_set(tmp_path)
    check_channels(3, ["png"])
    with pytest.raises(GravLensError, match="PNG needs images of one channel or three, not 2"):
        check_channels(2, ["npy", "png"])


def test_an_evaluation_is_of_each_channel_or_of_the_one_that_is_asked_for(tmp_path: Path) -> None:
    source = open_set(written(tmp_path / "set", "h5"))
    sets = Sets(generated=PreparedSource(source, "one"), reference=PreparedSource(source, "two"))
    options = Options(generated=Path("one"), reference=Path("two"), out=Path("report"))
    assert _reports(options, sets) == {k: Path(f"report/channel-{k + 1}") for k in range(3)}
    assert _reports(replace(options, channel=2), sets) == {1: Path("report")}
    assert sets.of_channel(1).reference.title == "two, channel 2 of 3"
    with pytest.raises(GravLensError, match="one: has no channel 4; its channels are 1 to 3"):
        sets.of_channel(3)
    save_folder(tmp_path / "grey", IMAGES[:, 0])
    pair = [sets.generated, PreparedSource(open_set(tmp_path / "grey"), "grey")]
    with pytest.raises(GravLensError, match="grey has 1: the numbers of channels differ"):
        prepared(pair)
