"""Files of several arrays: which are the images, and which tells their classes."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.errors import AmbiguousImageError, BadImageError, GravLensError
from gravlensdiffusion.formats.arrays import ArrayChoice
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_images, lens_records

STACK, VECTOR, ROWS = (6, 8, 8), (6,), (6, 3)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("shapes", "images", "labels"),
    [
        ({"images": STACK, "labels": VECTOR, "other": STACK}, "images", "labels"),
        ({"X": STACK, "y": VECTOR}, "X", "y"),
        ({"x": VECTOR, "y": VECTOR, "stamps": STACK}, "stamps", "y"),
        ({"arr_0": STACK, "arr_1": VECTOR}, "arr_0", "arr_1"),
        ({"lenses": STACK, "ra": VECTOR, "table": ROWS}, "lenses", ""),
        ({"train_images": STACK, "train_labels": VECTOR}, "train_images", "train_labels"),
        ({"test/image": STACK, "test/class": VECTOR, "class": VECTOR}, "test/image", "test/class"),
        ({"image": STACK, "noise_map": STACK, "psf": (6, 7, 7)}, "image", ""),
        ({"only": (8, 8)}, "only", ""),
    ],
)
def test_arrays_are_told_by_name_and_shape(
    shapes: dict[str, tuple[int, ...]], images: str, labels: str
) -> None:
    found = ArrayChoice().among(shapes, shapes.__getitem__)
    assert (found.images, found.labels) == (images, labels)


def test_several_arrays_of_images_are_the_users_choice() -> None:
    shapes = {"x_train": STACK, "y_train": VECTOR, "x_test": STACK, "y_test": VECTOR}
    with pytest.raises(AmbiguousImageError, match="one with `dataset`: x_train, x_test"):
        ArrayChoice().among(shapes, shapes.__getitem__)
    with pytest.raises(AmbiguousImageError, match="one with `dataset`: a, b"):
        ArrayChoice().among({"a": STACK, "b": STACK}, lambda _: STACK)
    found = ArrayChoice(dataset="x_test").among(shapes, shapes.__getitem__)
    assert (found.images, found.labels) == ("x_test", "y_test")
    chosen = ArrayChoice(dataset="x_test", labels="/y_train").among(shapes, shapes.__getitem__)
    assert chosen.labels == "y_train"
    with pytest.raises(BadImageError, match="no array 'X'; it holds x_train, y_train"):
        ArrayChoice(dataset="X").among(shapes, shapes.__getitem__)


@pytest.mark.parametrize(
    ("stored", "names"),
    [
        (LABELS, ("0", "1", "2")),
        (LABELS[:, None].astype(float), ("0", "1", "2")),
        (np.eye(3)[LABELS], ("0", "1", "2")),
        (LABELS == 2, ("0", "1")),
        (np.array([b"no", b"cdm", b"axion"])[LABELS], ("axion", "cdm", "no")),
    ],
    ids=["whole", "column of reals", "one in each row", "true and false", "bytes"],
)
def test_classes_as_they_are_stored(
    tmp_path: Path, stored: np.ndarray, names: tuple[str, ...]
) -> None:
    images = lens_images(6)
    np.savez(tmp_path / "a.npz", X=images, y=stored)
    source = open_set(tmp_path / "a.npz")
    assert source.header.class_names == names
    told = [names[label] for label in source.labels]
    wanted = [str(LABELS[k]) for k in range(6)]
    if stored.dtype.kind == "b":
        wanted = ["1" if label == "2" else "0" for label in wanted]
    if stored.dtype.kind == "S":
        wanted = [{"0": "no", "1": "cdm", "2": "axion"}[label] for label in wanted]
    assert told == wanted
    np.testing.assert_array_equal(source.read([4, 1])[:, 0], images[[4, 1]])
    assert source.notes == ("array 'X' with the classes of 'y': 6 images, a.npz first",)


def test_numbers_that_are_no_classes_are_left_alone_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, X=lens_images(6), y=np.linspace(0.5, 1.5, 6))
    source = open_set(path)
    assert source.header.class_names == ()
    assert source.notes == ("array 'X'; left alone: y: 6 images, a.npz first",)
    with pytest.raises(GravLensError, match="labels of type float64"):
        open_set(path, labels="y")


def test_the_arrays_are_chosen_at_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arrays = {"x_train": lens_images(6), "y_train": LABELS, "x_test": lens_images(2, seed=1)}
    np.savez("a.npz", **arrays, is_lens=np.array([1, 0]))
    assert main(["inspect", "a.npz"]) == 2
    assert "choose one with --dataset: x_train, x_test" in capsys.readouterr().err
    assert main(["inspect", "a.npz", "--dataset", "x_test", "--labels", "is_lens"]) == 0
    assert "array 'x_test' with the classes of 'is_lens'" in capsys.readouterr().out
    np.save("b.npy", lens_images(2))
    assert main(["inspect", "b.npy", "--dataset", "x"]) == 0
    assert "holds nothing that --dataset could choose from" in capsys.readouterr().out


@pytest.mark.parametrize("packed", [{}, {"compression": "gzip", "chunks": (4, 8, 8)}])
def test_hdf5_of_others(tmp_path: Path, packed: dict[str, object]) -> None:
    path, images = tmp_path / "a.h5", lens_images(6)
    with h5py.File(path, "w") as file:
        file.create_dataset("train/X", data=images, **packed)
        file["train/y"] = ["cdm", "axion"] * 3
        file["z"] = np.arange(6.0)
        file["away"] = h5py.ExternalLink("elsewhere.h5", "/X")
    source = open_set(path)
    assert source.header.class_names == ("axion", "cdm")
    assert source.labels.tolist() == [1, 0] * 3
    assert source.name(4) == f"{path}[4]"
    assert source.notes == (
        "array 'train/X' with the classes of 'train/y'; left alone: z: 6 images, a.h5 first",
    )
    for each in (source, pickle.loads(pickle.dumps(source))):
        np.testing.assert_array_equal(each.read([4, 1])[:, 0], images[[4, 1]])
    with pytest.raises(GravLensError, match="no array 'away'"):
        open_set(path, dataset="away")


def test_hdf5_of_others_in_class_folders_and_of_one_image_each(tmp_path: Path) -> None:
    images = lens_images(6)
    for k, image in enumerate(images):
        folder = tmp_path / "set" / ("lens", "other")[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / f"{k}.hdf5", "w") as file:
            file["image_data"] = image
            file["background_rms"] = 0.1
    source = open_set(tmp_path / "set")
    assert source.class_counts == {"lens": 3, "other": 3}
    np.testing.assert_array_equal(source.read(slice(None))[:, 0], images[[0, 2, 4, 1, 3, 5]])
    flat = open_set(tmp_path / "set" / "other")
    np.testing.assert_array_equal(flat.read(slice(None))[:, 0], images[1::2])


def test_our_own_sets_have_no_arrays_to_choose_from(tmp_path: Path) -> None:
    path = write_store(tmp_path / "a.h5", lens_records(3), HEADER)
    with pytest.raises(GravLensError, match="leave out `dataset` and `labels`"):
        open_set(path, dataset="images")


def test_an_hdf5_file_without_images_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ra"], file["dec"] = np.arange(6.0), np.arange(6.0)
    with pytest.raises(GravLensError, match=r"a\.h5: must hold an array .* it holds dec, ra"):
        open_set(tmp_path / "a.h5")
