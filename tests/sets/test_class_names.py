"""Class names of any letters in every format, and those that no class can have."""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.fits_header import PERCENT, facts_of
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.writers import _text_cards, write_images
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from tests.sets.files import lens_images

NAMES = (
    *("ring", "Anneau brisé", "ää", "öö", "透鏡", "линза", "😀", "50%", "a%20b", "a b", "été"),
    # The same letters in another form are another name.
    "e\u0301te\u0301",
    *("%C3%A9", "é", "it's \"one\" & 'two'", "星" * 40, "n" * 65, "a/b", ".hidden", "--label"),
)


@pytest.mark.parametrize("kind", ["h5", "fits", "png", "npz", "folders"])
def test_names_of_any_letters_come_back(tmp_path: Path, kind: str) -> None:
    images = lens_images(len(NAMES))
    header = SetHeader(class_names=NAMES, flux_unit="µJy")
    names, path = NAMES, tmp_path / "set"
    if kind == "npz":
        path.mkdir()
        path /= "a.npz"
        np.savez(path, images=images, labels=np.array(NAMES))
    elif kind == "folders":
        names = tuple(name for name in NAMES if "/" not in name and not name.startswith("."))
        for name, image in zip(names, images, strict=False):
            (path / name).mkdir(parents=True)
            np.save(path / name / "lens_1.npy", image)
    else:
        records = [LensRecord(image=image[None], label=k) for k, image in enumerate(images)]
        write_images(path, records, header, [kind], model="modèle")
        path /= "lenses.h5" if kind == "h5" else kind
    source = open_set(path)
    assert len(source) == len(names)
    found = [source.header.class_names[label] for label in source.labels]
    assert sorted(found) == sorted(names)
    if kind in ("h5", "fits", "png"):
        assert found == list(names)
        assert source.header.flux_unit == "µJy"


@given(st.lists(st.text(max_size=90), unique=True, max_size=5))
def test_texts_survive_a_fits_header(texts: list[str]) -> None:
    found = set()
    for text in texts:
        header = fits.Header(_text_cards([("CLASS", text, "class of the lens")]))
        again = fits.Header.fromstring(header.tostring())
        name = facts_of(again, again).class_name
        assert name == (text or None)
        found.add(name)
    assert len(found) == len(texts)


def test_a_plain_text_is_written_as_it_is() -> None:
    header = fits.Header(_text_cards([("CLASS", "50% off", "comment"), ("MODEL", None, "")]))
    assert dict(header) == {"CLASS": "50% off"}
    header = fits.Header({"CLASS": "%C3%A9"})
    assert facts_of(header, header).class_name == "%C3%A9"
    assert dict(fits.Header(_text_cards([("CLASS", "é", "")]))) == {
        "CLASS": "%C3%A9",
        PERCENT: "CLASS",
    }


BAD = {
    "any": "leaves the class open",
    "Any": "leaves the class open",
    "unlabelled": "stands for images without a class",
    "ring, faint": "has ',' in it",
    "a=b": "has '=' in it",
    " ring": "is empty or has blanks around it",
    "": "is empty or has blanks around it",
}


@pytest.mark.parametrize("name", BAD)
def test_names_that_a_class_cannot_be_asked_for_by(tmp_path: Path, name: str) -> None:
    message = re.escape(f"the class name '{name}' {BAD[name]}")
    for names in (("lens", name), (name, "lens")):
        with pytest.raises(GravLensError, match=message):
            SetHeader(class_names=names)
        with pytest.raises(GravLensError, match=message):
            ModelConfig(class_names=names)
    if name:
        for k, (folder, image) in enumerate(zip(("lens", name), lens_images(2), strict=True)):
            (tmp_path / folder).mkdir()
            np.save(tmp_path / folder / f"{k}.npy", image)
        with pytest.raises(GravLensError, match=message) as caught:
            open_set(tmp_path, skip_bad=True)
        assert str(caught.value).startswith(f"{tmp_path}: ")


def test_two_names_that_are_shown_alike_are_refused(tmp_path: Path) -> None:
    for name, image in zip(("a\n", "a\\n"), lens_images(2), strict=True):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "0.npy", image)
    with pytest.raises(GravLensError, match=r"the class name 'a\\n' is there twice"):
        open_set(tmp_path)
    (tmp_path / "cards").mkdir()
    for k, (name, image) in enumerate(zip(("a\n", "a\\n"), lens_images(2), strict=True)):
        header = fits.Header(_text_cards([("CLASS", name, "")]))
        fits.writeto(tmp_path / f"cards/{k}.fits", image, header)
    with pytest.raises(GravLensError, match=r"1\.fits: states a class that is shown like another"):
        open_set(tmp_path / "cards")


def test_parameters_are_not_called_like_the_column_of_classes() -> None:
    with pytest.raises(GravLensError, match="a parameter cannot be called 'label'"):
        ParameterConfig(name="label", low=0, high=1)
