"""DeepLense's object arrays are read, and no pickle ever runs anything."""

import io
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gravlensdiffusion.errors import BadFilesError, BadImageError, GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.untrusted.npy import read_object_array
from tests.sets.files import lens_images, save_folder

MASS = 3.5e-23


def object_array(*elements: Any) -> np.ndarray:
    array = np.empty(len(elements), object)
    for k, element in enumerate(elements):
        array[k] = element
    return array


def pickled(array: Any, protocol: int = 4) -> bytes:
    return pickle.dumps(array, protocol=protocol)


def save_pickle(path: Path, content: bytes) -> Path:
    """Write a `.npy` file whose header declares two objects, followed by any pickle."""
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "|O", "fortran_order": False, "shape": (2,)}
        )
        stream.write(content)
    return path


class _Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("mass", [MASS, np.float64(MASS), np.float32(MASS), 2])
def test_an_image_and_its_mass(mass: Any, protocol: int) -> None:
    image = lens_images(1)[0].astype(float)
    again = read_object_array(pickled(object_array(image, mass), protocol))
    np.testing.assert_array_equal(again[0], image)
    assert again[1] == pytest.approx(float(mass))


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f4", "<f2", "u1", ">i2", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_images_of_every_dtype_and_order(dtype: str, order: Any) -> None:
    image = np.asarray(lens_images(1, size=9)[0, :8] * 100, dtype, order=order)
    np.testing.assert_array_equal(read_object_array(pickled(object_array(image, MASS)))[0], image)


def test_names_of_old_and_new_numpy() -> None:
    content = pickled(object_array(lens_images(1)[0], np.float64(MASS)), 3)
    new, old = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    either = {content.replace(new, old), content.replace(old, new)}
    assert len(either) == 2
    for variant in either:
        assert read_object_array(variant)[1] == MASS


class TestFiles:
    def _save(self, path: Path, image: np.ndarray, *rest: Any) -> None:
        np.save(path, object_array(image, *rest), allow_pickle=True)

    def test_refused_by_default_with_the_reason_and_the_way_out(self, tmp_path: Path) -> None:
        save_folder(tmp_path / "cdm", lens_images(2))
        (tmp_path / "axion").mkdir()
        self._save(tmp_path / "axion" / "a.npy", lens_images(1)[0], MASS)
        with pytest.raises(BadFilesError, match="can run any code; `allow_object_arrays`"):
            open_set(tmp_path)

    def test_the_mass_becomes_a_parameter(self, tmp_path: Path) -> None:
        images = lens_images(4)
        save_folder(tmp_path / "cdm", images[:2])
        (tmp_path / "axion").mkdir()
        self._save(tmp_path / "axion" / "a1.npy", images[2], MASS)
        self._save(tmp_path / "axion" / "a2.npy", images[3][None], np.float64(2 * MASS))
        source = open_set(tmp_path, allow_object_arrays=True)
        assert source.labels.tolist() == [0, 0, 1, 1]
        assert source.header.parameter_units == {"axion_mass": "eV"}
        np.testing.assert_array_equal(
            source.parameters["axion_mass"], [MASS, 2 * MASS, np.nan, np.nan]
        )
        np.testing.assert_array_equal(source.read(slice(None))[:, 0], images[[2, 3, 0, 1]])

    @pytest.mark.parametrize(
        ("elements", "message"),
        [
            ((MASS, MASS), "not \\[image, mass\\]"),
            ((np.ones((8, 8)), MASS, MASS), "not \\[image, mass\\]"),
            ((np.ones((8, 8)), np.ones((8, 8))), "not \\[image, mass\\]"),
            ((np.ones((8, 8)), np.nan), "mass that is not finite"),
            ((np.ones((8, 8)), MASS), "constant"),
            ((np.arange(8.0), MASS), "shape"),
            ((np.ones((8, 8), complex), MASS), "values of type"),
            ((np.ones((8, 8)), "heavy"), "other things than an image and a mass"),
            ((np.ones((8, 8)), None), "other things than an image and a mass"),
        ],
    )
    def test_other_object_arrays_are_refused(
        self, tmp_path: Path, elements: tuple[Any, ...], message: str
    ) -> None:
        self._save(tmp_path / "a.npy", *elements)
        with pytest.raises(GravLensError, match=message):
            open_set(tmp_path / "a.npy", allow_object_arrays=True)


def attempts(trap: Path) -> dict[str, bytes]:
    """Return pickles that would create a file, if anything in them ran."""
    command = f"touch {trap}"
    image = lens_images(1)[0]
    create = _Calls(open, str(trap), "w")
    by_name = {
        "system": pickled(_Calls(os.system, command)),
        "in the array": pickled(object_array(image, _Calls(os.system, command))),
        "old protocol": pickle.dumps(_Calls(os.system, command), protocol=0),
        "open": pickled(object_array(create, MASS)),
        "eval": pickled(_Calls(eval, f"open({str(trap)!r}, 'w')")),
        "subprocess": pickled(_Calls(subprocess.call, ["touch", str(trap)])),
        "numpy itself": pickled(_Calls(np.save, str(trap), 1)),
    }
    # Instructions that no pickler writes by itself.
    argument = f"X{chr(len(command))}\0\0\0{command}".encode()
    by_name["inst"] = b"(" + argument + b"ios\nsystem\n."
    by_name["obj"] = b"(cos\nsystem\n" + argument + b"o."
    by_name["dots"] = b"\x80\x04\x8c\x05numpy\x8c\x0fos.system.touch\x93" + argument + b"\x85R."
    by_name["numpy's os"] = b"cnumpy.f2py.os\nsystem\n(" + argument + b"tR."
    by_name["persistent"] = b"P" + command.encode() + b"\n."
    by_name["extension"] = b"\x82\x01."
    return by_name


class TestMalice:
    @pytest.mark.parametrize("attempt", attempts(Path("trap")))
    @pytest.mark.parametrize("allow", [False, True])
    def test_nothing_runs(self, tmp_path: Path, attempt: str, allow: bool) -> None:
        trap = tmp_path / "trap"
        path = save_pickle(tmp_path / "a.npy", attempts(trap)[attempt])
        with pytest.raises(GravLensError, match="pickle"):
            open_set(path, allow_object_arrays=allow)
        assert not trap.exists()
        assert not trap.with_suffix(".npy").exists()

    def test_the_trap_works(self, tmp_path: Path) -> None:
        trap = tmp_path / "trap"
        pickle.loads(attempts(trap)["system"])
        assert trap.exists()

    def test_the_name_asked_for_is_told(self) -> None:
        with pytest.raises(BadImageError, match=r"(posix|nt)\.system"):
            read_object_array(pickled(_Calls(os.system, "true")))

    def test_dtypes_that_lie_about_their_memory_are_not_believed(self) -> None:
        # Flags that declare numbers to be references would make numpy follow them.
        content = pickled(object_array(np.arange(4.0).reshape(2, 2), MASS), 3)
        forged = content.replace(
            b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t", b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ft"
        )
        assert forged != content
        np.testing.assert_array_equal(read_object_array(forged)[0], np.arange(4.0).reshape(2, 2))

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b".",
            b"N.",
            b"\x80\x04]q\x00.",
            b"\x80\x04K\x01r\xff\xff\xff\xff.",
            b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
            b"\x80\x04" + b"N" * 20_000 + b".",
            pickled(np.arange(4.0)),
            pickled({"image": 1}),
        ],
    )
    def test_other_pickles_are_refused(self, content: bytes) -> None:
        with pytest.raises(BadImageError):
            read_object_array(content)

    def test_a_shape_larger_than_the_data(self) -> None:
        content = pickled(object_array(np.ones((2, 2)), MASS), 3)
        forged = content.replace(b"K\x01K\x02K\x02\x86", b"K\x01J\xff\xff\xff\x7fK\x02\x86")
        assert forged != content
        with pytest.raises(BadImageError, match="damaged pickle"):
            read_object_array(forged)


@given(place=st.integers(0, 400), junk=st.binary(min_size=1, max_size=6))
def test_damaged_pickles_are_read_or_refused(place: int, junk: bytes) -> None:
    content = pickled(object_array(np.ones((3, 4)), MASS), 3)
    place %= len(content)
    damaged = content[:place] + junk + content[place + len(junk) :]
    try:
        elements = read_object_array(damaged)
    except BadImageError:
        return
    assert all(isinstance(element, (float, np.ndarray)) for element in elements)


def test_numpy_writes_what_is_read_here() -> None:
    stream = io.BytesIO()
    np.save(stream, object_array(lens_images(1)[0], MASS), allow_pickle=True)
    stream.seek(0)
    np.lib.format.read_magic(stream)
    np.lib.format.read_array_header_1_0(stream)
    assert read_object_array(stream.read())[1] == MASS
