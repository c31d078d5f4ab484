"""Every kind of bad file is named in one line, and nothing is silently left out."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
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
from gravlensdiffusion.store.reader import write_store
from tests.sets.files import HEADER, lens_images, lens_records, save_folder


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_declaring(shape: tuple[int, ...], data: bytes = b"", descr: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + data


def fits_bytes(image: np.ndarray, **cards: object) -> bytes:
    stream = io.BytesIO()
    hdu = fits.PrimaryHDU(image)
    hdu.header.update(cards)
    hdu.writeto(stream)
    return stream.getvalue()


def png_bytes(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", **options)
    return stream.getvalue()


def picture_bytes(name: str, *, mode: str = "L", pages: int = 1) -> bytes:
    first, *others = [Image.fromarray((IMAGE * 255).astype(np.uint8)).convert(mode)] * pages
    stream = io.BytesIO()
    first.save(
        stream, format=name, **({"save_all": True, "append_images": others} if others else {})
    )
    return stream.getvalue()


def png_declaring(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    start = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", start)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def npz_bytes(compress: bool = False, **arrays: object) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(stream, **arrays)
    return stream.getvalue()


def npz_of(member: bytes, name: str = "images.npy") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, member)
    return stream.getvalue()


def with_pixel(value: float) -> np.ndarray:
    image = lens_images(1, seed=9)[0].astype(float)
    image[2, 3] = value
    return image


IMAGE = lens_images(1, seed=9)[0]
FITS = fits_bytes(IMAGE)
PNG = png_bytes(Image.fromarray((IMAGE * 255).astype(np.uint8)))
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
    "PNG cut off": ("a.png", PNG[:-40], "damaged PNG"),
    "PNG cut off at once": ("a.png", PNG[:12], "no PNG file"),
    "PNG bomb": ("a.png", png_declaring(60_000, 60_000), "60000 x 60000 pixels, more than"),
    "text called JPEG": ("a.jpg", b"no JPEG" * 100, "is no JPEG file"),
    "TIFF of several pictures": ("a.tif", picture_bytes("TIFF", pages=2), "several pictures"),
    "JPEG cut off": ("a.jpg", picture_bytes("JPEG")[:-60], "damaged JPEG"),
    "JPEG of inks": (
        "a.jpg",
        picture_bytes("JPEG", mode="CMYK"),
        "in CMYK; save it in grey or RGB",
    ),
    "PNG with 16-bit colours": ("a.png", png_declaring(8, 8, 16, 2), "16-bit PNG with colour"),
    "PNG with holes": (
        "a.png",
        png_bytes(Image.fromarray(np.arange(128, dtype=np.uint8).reshape(8, 8, 2), "LA")),
        "partly transparent",
    ),
    "PNG that moves": (
        "a.png",
        png_bytes(
            Image.fromarray((IMAGE * 255).astype(np.uint8)),
            save_all=True,
            append_images=[Image.fromarray((IMAGE.T * 255).astype(np.uint8))],
        ),
        "animated",
    ),
    "PNG constant": ("a.png", png_bytes(Image.new("L", (8, 8), 7)), "constant"),
    "GIF called PNG": ("a.png", b"GIF89a" + bytes(100), "no PNG file"),
    "text called npz": ("a.npz", b"no archive" * 50, "damaged .npz"),
    "npz cut off": ("a.npz", NPZ[:-300], "damaged .npz"),
    "npz with flipped bits": (
        "a.npz",
        NPZ[:5000] + bytes(b ^ 255 for b in NPZ[5000:5100]) + NPZ[5100:],
        "damaged .npz",
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


def test_the_size_that_most_files_have_is_the_right_one(tmp_path: Path) -> None:
    save_folder(tmp_path, lens_images(2, size=9), "a{}.npy")
    save_folder(tmp_path, lens_images(3), "b{}.npy")
    source = open_set(tmp_path, skip_bad=True)
    assert source.image_shape == (1, 8, 8)
    assert source.num_skipped == 2


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


class TestFolders:
    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(GravLensError, match="holds no images"):
            open_set(tmp_path)

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(GravLensError, match="no such file or folder"):
            open_set(tmp_path / "none")

    def test_an_empty_class(self, tmp_path: Path) -> None:
        save_folder(tmp_path / "cdm", lens_images(2))
        (tmp_path / "axion").mkdir()
        (tmp_path / "__MACOSX").mkdir()
        (tmp_path / "no_sub").mkdir()
        (tmp_path / "no_sub" / ".DS_Store").touch()
        source = open_set(tmp_path)
        assert source.header.class_names == ("cdm",)
        assert "folders without images, left out: axion, no_sub" in source.notes

    def test_a_class_without_a_readable_image(self, tmp_path: Path) -> None:
        save_folder(tmp_path / "cdm", lens_images(2))
        (tmp_path / "axion").mkdir()
        (tmp_path / "axion" / "a.npy").write_bytes(b"no array")
        with pytest.raises(BadFilesError):
            open_set(tmp_path)
        assert open_set(tmp_path, skip_bad=True).header.class_names == ("cdm",)

    def test_a_folder_in_a_class(self, tmp_path: Path) -> None:
        save_folder(tmp_path / "cdm", lens_images(2))
        save_folder(tmp_path / "cdm" / "more", lens_images(2))
        with pytest.raises(BadFilesError, match="more: is a folder, expected an image"):
            open_set(tmp_path)

    def test_images_and_folders_side_by_side(self, tmp_path: Path) -> None:
        save_folder(tmp_path, lens_images(2))
        save_folder(tmp_path / "cdm", lens_images(2))
        with pytest.raises(GravLensError, match=r"images \(sample1.npy, ...\) and folders \(cdm"):
            open_set(tmp_path, skip_bad=True)

    def test_a_store_and_images_side_by_side(self, tmp_path: Path) -> None:
        save_folder(tmp_path, lens_images(2))
        write_store(tmp_path / "lenses.h5", lens_records(), HEADER)
        with pytest.raises(GravLensError, match=r"HDF5 files \(lenses.h5, ...\) and images"):
            open_set(tmp_path, skip_bad=True)

    def test_hidden_entries_are_mentioned(self, tmp_path: Path) -> None:
        save_folder(tmp_path, lens_images(2))
        (tmp_path / ".DS_Store").write_bytes(b"x")
        source = open_set(tmp_path)
        assert len(source) == 2
        assert source.notes == (
            "hidden entries, whose names begin with a dot or __MACOSX, left alone: 1",
        )


class TestLinks:
    def _set_with(self, tmp_path: Path, make: Callable[[Path], object]) -> Path:
        folder = save_folder(tmp_path / "set", lens_images(2))
        make(folder)
        return folder

    def test_a_link_inside_the_folder_is_followed(self, tmp_path: Path) -> None:
        folder = self._set_with(
            tmp_path, lambda folder: (folder / "a.npy").symlink_to(folder / "sample2.npy")
        )
        np.testing.assert_array_equal(open_set(folder).read([0])[0, 0], lens_images(2)[1])

    @pytest.mark.parametrize("is_folder", [False, True])
    def test_a_link_that_leaves_the_folder_is_refused(
        self, tmp_path: Path, is_folder: bool
    ) -> None:
        outside = save_folder(tmp_path / "outside", lens_images(1, seed=4))
        target = outside if is_folder else outside / "sample1.npy"
        folder = self._set_with(tmp_path, lambda folder: (folder / "a.npy").symlink_to(target))
        with pytest.raises(BadFilesError, match="is a link that leaves"):
            open_set(folder)
        assert len(open_set(folder, skip_bad=True)) == 2

    def test_a_link_that_leaves_the_folder_is_followed_when_asked(self, tmp_path: Path) -> None:
        outside = save_folder(tmp_path / "outside", lens_images(1, seed=4))
        target = outside / "sample1.npy"
        folder = self._set_with(tmp_path, lambda folder: (folder / "a.npy").symlink_to(target))
        assert len(open_set(folder, follow_links=True)) == 3

    def test_a_link_to_nothing(self, tmp_path: Path) -> None:
        folder = self._set_with(
            tmp_path, lambda folder: (folder / "a.npy").symlink_to(folder / "none")
        )
        with pytest.raises(BadFilesError, match=r"a\.npy: cannot be read"):
            open_set(folder)

    def test_a_link_in_a_circle(self, tmp_path: Path) -> None:
        folder = self._set_with(
            tmp_path, lambda folder: (folder / "a.npy").symlink_to(folder / "a.npy")
        )
        with pytest.raises(BadFilesError, match=r"a\.npy: cannot be read"):
            open_set(folder)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        folder = self._set_with(tmp_path, lambda folder: os.mkfifo(folder / "a.npy"))
        with pytest.raises(BadFilesError, match=r"a\.npy: is no regular file"):
            open_set(folder)
        with pytest.raises(GravLensError, match="is no regular file"):
            open_set(folder / "a.npy")

    def test_the_folder_itself_may_be_a_link(self, tmp_path: Path) -> None:
        folder = self._set_with(tmp_path, lambda _: None)
        (tmp_path / "link").symlink_to(folder)
        assert len(open_set(tmp_path / "link")) == 2


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
