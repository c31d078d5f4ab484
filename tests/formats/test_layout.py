"""What our commands write can be read where a set is expected."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.writers import FORMATS
from tests.formats.writing import write

SEVERAL = [each for num in range(1, 5) for each in combinations(FORMATS, num)]


@pytest.mark.parametrize("formats", SEVERAL, ids="-".join)
def test_formats_of_a_set_are_one_set(tmp_path: Path, formats: tuple[str, ...]) -> None:
    folder = tmp_path / "lenses"
    first = next(name for name in ("h5", "fits", "npy", "png") if name in formats)
    write(folder, num=4, formats=formats)
    alone = open_set(folder / ("lenses.h5" if first == "h5" else first))
    for name in ("grid.png", "denoising.gif", "lenses-preview.png", "report.html", ".DS_Store"):
        (folder / name).write_bytes(b"no image of the set")
    found = open_set(folder)
    assert len(found) == 4
    assert found.labels.tolist() == alone.labels.tolist()
    assert found.header.class_names == alone.header.class_names
    np.testing.assert_array_equal(found.read(slice(None)), alone.read(slice(None)))


def test_formats_of_different_sets_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", num=2, formats=("h5",))
    write(tmp_path / "b", num=5, formats=("npy", "fits"))
    (tmp_path / "b" / "npy").rename(tmp_path / "a" / "npy")
    with pytest.raises(GravLensError, match=r"2 images in lenses\.h5 and 5 in npy"):
        open_set(tmp_path / "a")
    (tmp_path / "b" / "fits" / "00004.fits").unlink()
    (tmp_path / "a" / "npy").rename(tmp_path / "b" / "npy")
    with pytest.raises(GravLensError, match="4 images in fits and 5 in npy"):
        open_set(tmp_path / "b")


def test_pictures_of_others_stay_images(tmp_path: Path) -> None:
    write(tmp_path / "own", num=3, formats=("png",))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for k, name in enumerate(("grid", "lens", "theirs-preview")):
        (tmp_path / "own" / "png" / f"0000{k}.png").rename(theirs / f"{name}.png")
    # The last is what `inspect` calls its preview of this folder.
    assert len(open_set(theirs)) == 2


def test_a_class_may_be_called_like_a_format(tmp_path: Path) -> None:
    for name in ("npy", "other"):
        (tmp_path / name).mkdir()
        for k in range(2):
            np.save(tmp_path / name / f"lens{k}.npy", np.random.default_rng(k).random((8, 8)))
    assert open_set(tmp_path).header.class_names == ("npy", "other")
