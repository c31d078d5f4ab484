"""What is said of files that are not read does make sets of them."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import scipy.io
import torch

from gravlensdiffusion.errors import BadFilesError, GravLensError
from gravlensdiffusion.formats.companions import ARCHIVES, advice
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images, save_folder

IMAGES = lens_images(3)
SAVE: dict[str, Callable[[Path], object]] = {
    "mat": lambda path: scipy.io.savemat(path, {"images": IMAGES}),
    "pt": lambda path: torch.save(torch.from_numpy(IMAGES), path),
    "pkl": lambda path: path.write_bytes(pickle.dumps(IMAGES)),
    "gif": lambda path: PIL.Image.fromarray((100 * IMAGES[0]).astype(np.uint8)).save(path),
}


# Two lines do not close every file.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", SAVE)
def test_the_two_lines_make_a_set(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"stamps.{kind}")
    SAVE[kind](path)
    with pytest.raises(GravLensError, match="no kind of file that can be read") as caught:
        open_set(path)
    lines = str(caught.value).partition("in Python, ")[2].partition(" make a set")[0]
    first, second = re.sub(r" \(which .*?\)", "", lines).split(" and ")
    names = {"np": np, "PIL": PIL, "torch": torch, "scipy": scipy}
    exec(f"{first}\n{second}", names)
    wanted = [(100 * IMAGES[0]).astype(np.uint8) / 255] if kind == "gif" else IMAGES
    np.testing.assert_allclose(open_set("stamps.npy").read(slice(None))[:, 0], wanted, rtol=1e-6)


def test_other_files_of_a_folder_have_their_line(tmp_path: Path) -> None:
    save_folder(tmp_path, IMAGES)
    (tmp_path / "a.xyz").write_text("?")
    with pytest.raises(BadFilesError, match=r"a\.xyz: is no image .*np\.save\('a\.npy', images\)"):
        open_set(tmp_path)


def test_what_is_packed_has_to_be_unpacked() -> None:
    assert {advice(Path(f"a{suffix}")) for suffix in ARCHIVES} == {"unpack it first"}
    assert "only for files that you trust" in advice(Path("a.pickle"))


def test_the_picture_of_an_image_beside_it_is_left_alone(tmp_path: Path) -> None:
    for k, image in enumerate(IMAGES):
        np.save(tmp_path / f"{k}.npy", image)
        colours = np.random.default_rng(k).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        PIL.Image.fromarray(colours).save(tmp_path / f"{k}.{('jpg', 'png', 'tif')[k]}")
    source = open_set(tmp_path)
    np.testing.assert_array_equal(source.read(slice(None))[:, 0], IMAGES)
    assert source.notes == ("named like pictures, left alone: 3; 0.jpg first",)
