"""Every kind of bad file is named in one line, and nothing is silently left out."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from gravlensdiffusion.errors import BadFilesError, GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.sets.lens_set import LensSet
from tests.formats.contents import (
    npy_bytes,
    npy_declaring,
    npz_bytes,
    picture_bytes,
    png,
    png_bytes,
    zip_bytes,
)
from tests.sets.files import lens_images, save_folder


def fits_bytes(image: np.ndarray, **cards: object) -> bytes:
    stream = io.BytesIO()
    hdu = fits.PrimaryHDU(image)
    hdu.header.update(cards)
    hdu.writeto(stream)
    return stream.getvalue()


def npz_of(member: bytes) -> bytes:
    return zip_bytes({"images.npy": member}, zipfile.ZIP_DEFLATED)


def with_pixel(value: float) -> np.ndarray:
    image = lens_images(1, seed=9)[0].astype(float)
    image[2, 3] = value
    return image


IMAGE = lens_images(1, seed=9)[0]
FITS = fits_bytes(IMAGE)
GREY = Image.fromarray((IMAGE * 255).astype(np.uint8))
PNG = png_bytes(GREY)
NPZ = npz_bytes(compress=True, images=lens_images(40, size=32))

BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "other size": ("a.npy", npy_bytes(lens_images(1, size=9)[0]), "9 x 9 pixels where most have 8"),
    "empty": ("a.npy", b"", "is empty: 0 bytes"),
    "text": ("a.npy", b"not an array, only text that goes on", "no readable .npy file"),
    "npy cut off in its header": ("a.npy", npy_bytes(IMAGE)[:20], "no readable .npy file"),
    "npy cut off in its data": ("a.npy", npy_bytes(IMAGE)[:-8], "truncated: 248 of 256 bytes"),
    "npy with a false header": (
        "a.npy",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': __imp}\n",
        "no readable .npy file",
    ),
    "npy of version 3": ("a.npy", b"\x93NUMPY\x03\x00" + bytes(200), "version"),
    "npy declared larger than any memory": ("a.npy", npy_declaring((10**9, 10**9)), "more than"),
    "npy declared larger than the limit": ("a.npy", npy_declaring((9000, 9000)), "81000000|9000 x"),
    "npy declared negative": ("a.npy", npy_declaring((-8, -8)), "impossible shape|no readable"),
    "npy with no pixels": ("a.npy", npy_bytes(np.empty((0, 8))), "no image"),
    "npy of one number": ("a.npy", npy_bytes(np.array(3.0)), "shape"),
    "vector": ("a.npy", npy_bytes(np.arange(64.0)), "shape"),
    "three channels": ("a.npy", npy_bytes(lens_images(3)), "channels"),
    "one row": ("a.npy", npy_bytes(np.arange(8.0)[None]), "1 x 8 pixels, which is no image"),
    "not a number": ("a.npy", npy_bytes(with_pixel(np.nan)), "is not finite in 1 of 64 pixels"),
    "infinite": ("a.npy", npy_bytes(with_pixel(np.inf)), "is not finite"),
    "too large for float32": ("a.npy", npy_bytes(with_pixel(1e300)), "not finite"),
    "constant": ("a.npy", npy_bytes(np.full((8, 8), 2.5)), "constant: every pixel is 2.5"),
    "complex": ("a.npy", npy_bytes(IMAGE * 1j), "complex64"),
    "words": ("a.npy", npy_bytes(np.array([["a", "b"]] * 2)), "no real numbers"),
    "truth values": ("a.npy", npy_bytes(IMAGE > 0.5), "bool"),
    "fields": ("a.npy", npy_bytes(np.ones((8, 8), [("x", float)])), "no real numbers"),
    "text called FITS": ("a.fits", b"no FITS" * 1000, "no readable FITS file"),
    "FITS cut off in its header": ("a.fits", FITS[:1000], "no readable FITS file"),
    "FITS cut off in its data": ("a.fits", FITS[: 2880 + 200], "truncated: 56 of 256 bytes"),
    "FITS without image": ("a.fits", fits_bytes(None), "holds no image"),
    "FITS of a spectrum": ("a.fits", fits_bytes(np.arange(64.0)), "holds no image"),
    "FITS cube": ("a.fits", fits_bytes(lens_images(3)), "channels"),
    "FITS infinite": ("a.fits", fits_bytes(with_pixel(np.inf)), "not finite"),
    "FITS constant": ("a.fits", fits_bytes(np.zeros((8, 8))), "constant"),
    "FITS of other pixels": ("a.fits", fits_bytes(IMAGE, PIXSCALE=0.1), "pixel scale of 0.1"),
    "FITS in other units": ("a.fits", fits_bytes(IMAGE, BUNIT="Jy"), "flux unit 'Jy'"),
    "text called PNG": ("a.png", b"no PNG" * 100, "no PNG file"),
    "PNG cut off": ("a.png", PNG[:-40], "no readable PNG file"),
    "PNG cut off at once": ("a.png", PNG[:12], "no PNG file"),
    "PNG bomb": ("a.png", png(60_000, 60_000), "60000 x 60000 pixels, more than"),
    "text called JPEG": ("a.jpg", b"no JPEG" * 100, "is no readable JPEG file"),
    "TIFF of several pictures": (
        "a.tif",
        picture_bytes(GREY, "TIFF", save_all=True, append_images=[GREY]),
        "several pictures",
    ),
    "JPEG cut off": ("a.jpg", picture_bytes(GREY, "JPEG")[:-60], "no readable JPEG file"),
    "JPEG of inks": (
        "a.jpg",
        picture_bytes(GREY.convert("CMYK"), "JPEG"),
        "in CMYK; save it in grey or RGB",
    ),
    "PNG with 16-bit colours": ("a.png", png(8, 8, 16, 2), "16-bit PNG with colour"),
    "PNG with holes": (
        "a.png",
        png_bytes(Image.fromarray(np.arange(128, dtype=np.uint8).reshape(8, 8, 2), "LA")),
        "partly transparent",
    ),
    "PNG that moves": (
        "a.png",
        png_bytes(
            GREY,
            save_all=True,
            append_images=[Image.fromarray((IMAGE.T * 255).astype(np.uint8))],
        ),
        "animated",
    ),
    "PNG constant": ("a.png", png_bytes(Image.new("L", (8, 8), 7)), "constant"),
    "GIF called PNG": ("a.png", b"GIF89a" + bytes(100), "no PNG file"),
    "text called npz": ("a.npz", b"no archive" * 50, "no readable .npz"),
    "npz cut off": ("a.npz", NPZ[:-300], "no readable .npz"),
    "npz with flipped bits": (
        "a.npz",
        NPZ[:5000] + bytes(b ^ 255 for b in NPZ[5000:5100]) + NPZ[5100:],
        "no readable .npz",
    ),
    "npz with none": ("a.npz", npz_bytes(), "'images' or only one array"),
    "npz with a vector": ("a.npz", npz_bytes(images=np.arange(9.0)), "shape"),
    "npz with no images": ("a.npz", npz_bytes(images=np.empty((0, 8, 8))), "holds no image"),
    "npz with words": ("a.npz", npz_bytes(images=np.array([[["a", "b"]] * 2])), "no real numbers"),
    "npz shorter than declared": (
        "a.npz",
        npz_of(npy_declaring((4, 8, 8), bytes(600))),
        "truncated: 600 of 2048",
    ),
    "npz bomb": (
        "a.npz",
        npz_of(npy_declaring((10**6, 8000, 8000), bytes(10**6))),
        "unpacks to .* more than the limit",
    ),
    "npz of huge images": (
        "a.npz",
        npz_of(npy_declaring((1, 10**6, 10**6))),
        "more than the limit",
    ),
    "npz with too few labels": (
        "a.npz",
        npz_bytes(images=lens_images(2), labels=[1]),
        "1 labels for 2 images",
    ),
    "npz with broken labels": (
        "a.npz",
        npz_bytes(images=lens_images(2), labels=[0.5, 1.0]),
        "labels of type float64",
    ),
    "npz with labels beyond the classes": (
        "a.npz",
        npz_bytes(images=lens_images(2), labels=[0, 2], class_names=["a", "b"]),
        "labels outside -1",
    ),
    "npz with pickled labels": (
        "a.npz",
        npz_bytes(images=lens_images(2), labels=np.array(["a", None])),
        "labels of type object",
    ),
    "text file": ("lenses.txt", b"These are my lenses.", "is no image"),
    "GIF": ("a.gif", b"\xff\xd8\xff\xe0", "is no image"),
    "no suffix": ("lenses", b"MIT", "is no image"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_named_and_only_left_out_when_asked(tmp_path: Path, kind: str) -> None:
    name, content, message = BAD_FILES[kind]
    save_folder(tmp_path, lens_images(3))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFilesError, match=message) as caught:
        open_set(tmp_path)
    problems = caught.value.problems
    assert all(str(tmp_path / name) in line for line in problems)
    assert all("\n" not in line for line in (*problems, str(caught.value)))
    source = open_set(tmp_path, skip_bad=True)
    assert len(source) == 3
    assert source.problems == problems
    assert source.num_skipped == len(problems) >= 1
    np.testing.assert_array_equal(source.read(slice(None))[:, 0], lens_images(3))


GOOD_ALONE = (
    "other size",
    "three channels",
    "FITS cube",
    "FITS of other pixels",
    "FITS in other units",
)


@pytest.mark.parametrize(
    "kind", [kind for kind in BAD_FILES if kind not in (*GOOD_ALONE, "text file", "no suffix")]
)
def test_a_bad_file_alone_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    name, content, _ = BAD_FILES[kind]
    (tmp_path / name).write_bytes(content)
    for skip_bad in (False, True):
        with pytest.raises(GravLensError) as caught:
            open_set(tmp_path / name, skip_bad=skip_bad)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    save_folder(tmp_path, lens_images(2))
    for name in ("b.npy", "c.npy", "d.npy"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadFilesError, match="3 files or images cannot be used") as caught:
        open_set(tmp_path)
    assert [line.split(": ")[0] for line in caught.value.problems] == [
        str(tmp_path / name) for name in ("b.npy", "c.npy", "d.npy")
    ]


def test_bad_images_inside_an_archive_are_counted(tmp_path: Path) -> None:
    images = lens_images(4)
    images[1] = 3
    images[2, 0, 0] = np.nan
    np.savez(tmp_path / "a.npz", images=images, labels=[0, 0, 1, 1])
    source = open_set(tmp_path / "a.npz", skip_bad=True)
    assert [line.removeprefix(str(tmp_path)) for line in source.problems] == [
        "/a.npz[1]: is constant: every pixel is 3",
        "/a.npz[2]: is not finite in 1 of 64 pixels",
    ]
    assert source.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(source.read([1])[0, 0], images[3])


def opened(path: Path) -> LensSet | None:
    """Open a set; return None where it is refused in one line."""
    refusals: list[str] = []
    try:
        return open_set(path)
    except GravLensError as error:
        refusals.append(str(error))
    assert "\n" not in refusals[0]
    return None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=npst.arrays(
        dtype=st.one_of(
            npst.integer_dtypes(),
            npst.floating_dtypes(),
            npst.boolean_dtypes(),
            npst.complex_number_dtypes(),
            npst.unicode_string_dtypes(max_len=3),
        ),
        shape=npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    suffix=st.sampled_from([".npy", ".npz"]),
)
def test_any_array_is_read_or_refused(tmp_path: Path, array: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    (np.savez if suffix == ".npz" else np.save)(path, array)
    source = opened(path)
    if source is None:
        return
    images = source.read(slice(None))
    assert images.shape == (len(source), *source.image_shape)
    assert np.isfinite(images).all()
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(images.ravel(), array.astype(np.float32).ravel())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["a.npy", "a.fits", "a.png", "a.npz"]),
    place=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=1, max_size=8),
)
def test_damaged_files_never_end_in_a_traceback(
    tmp_path: Path, name: str, place: float, junk: bytes
) -> None:
    whole = {
        "a.npy": npy_bytes(IMAGE),
        "a.fits": FITS,
        "a.png": PNG,
        "a.npz": npz_bytes(images=IMAGE[None]),
    }[name]
    start = int(place * len(whole))
    (tmp_path / name).write_bytes(whole[:start] + junk + whole[start + len(junk) :])
    source = opened(tmp_path / name)
    assert source is None or np.isfinite(source.read(slice(None))).all()
