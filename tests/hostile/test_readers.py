"""Whatever bytes stand in a file, its reader reads them or refuses them in one line."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import BadImageError, GravLensError, one_line
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.picture import KEYWORD, _read_card
from gravlensdiffusion.generation.conditions import read_conditions
from gravlensdiffusion.model.checkpoint import _read_shapes, read_tensors
from gravlensdiffusion.sets.naming import natural_key
from gravlensdiffusion.untrusted.npy import read_header, read_object_array
from gravlensdiffusion.untrusted.state_file import read_state_dict
from tests.hostile.bases import Base
from tests.hostile.corpus import good_files
from tests.models import ORDERED

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
# The formats that this process reads itself; HDF5 and packed FITS go to a child process.
READ_HERE = [
    base for base in good_files() if base.kind in ("npy", "npz", "PNG") or base.name == "a.fits"
]


def outcome(read: Callable[[], object]) -> object:
    """Return what was read, or None where it was refused in one line."""
    refusals = []
    try:
        return read()
    except (GravLensError, BadImageError) as error:
        refusals.append(str(error))
    assert "\n" not in refusals[0]
    return None


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Base, bytes]:
    """Draw a good file in which some places were written over."""
    base = draw(st.sampled_from(READ_HERE))
    content = bytearray(base.content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content) - 1))
        junk = draw(st.binary(min_size=1, max_size=8))
        content[start : start + len(junk)] = junk
    return base, bytes(content[: draw(st.integers(0, len(content)))] or content)


@in_one_folder
@given(drawn=damaged())
def test_image_files(tmp_path: Path, drawn: tuple[Base, bytes]) -> None:
    base, content = drawn
    path = tmp_path / base.name
    path.write_bytes(content)
    source = outcome(lambda: open_set(path, allow_object_arrays=True))
    assert source is None or np.isfinite(source.read(slice(None))).all()  # type: ignore[attr-defined]


@given(pickled=st.binary(max_size=64))
def test_object_arrays(pickled: bytes) -> None:
    found = outcome(lambda: read_object_array(b"\x80\x02" + pickled))
    assert found is None or isinstance(found, list)


@in_one_folder
@given(header=st.binary(max_size=120), version=st.integers(0, 4))
def test_array_headers(tmp_path: Path, header: bytes, version: int) -> None:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header)
    with path.open("rb") as stream:
        outcome(lambda: read_header(stream))


@given(text=ANY_JSON.map(json.dumps) | st.text())
@pytest.mark.parametrize("kind", [ModelConfig, TrainingConfig])
def test_configurations(kind: type, text: str) -> None:
    outcome(lambda: from_json(kind, text.encode("utf-8", "surrogatepass")))


@given(name=st.sampled_from(sorted(json.loads(to_json(ModelConfig())))), value=ANY_JSON)
def test_configurations_with_one_odd_value(name: str, value: object) -> None:
    text = json.dumps({**json.loads(to_json(ModelConfig())), name: value})
    outcome(lambda: from_json(ModelConfig, text))


@in_one_folder
@given(text=st.text() | st.text(alphabet='label,theta_E\n"1.', max_size=60))
def test_tables_of_conditions(tmp_path: Path, text: str) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    outcome(lambda: read_conditions(path, ORDERED, "tiny"))


@given(text=ANY_JSON.map(json.dumps) | st.text())
def test_cards_of_pictures(text: str) -> None:
    _read_card({KEYWORD: text})


@in_one_folder
@given(header=ANY_JSON.map(lambda tree: json.dumps(tree).encode()) | st.binary(max_size=40))
def test_weights(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    outcome(lambda: _read_shapes(path))
    outcome(lambda: read_tensors(path))


@in_one_folder
@given(content=st.binary(max_size=80), start=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04"]))
def test_pytorch_files(tmp_path: Path, content: bytes, start: bytes) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(start + content)
    outcome(lambda: read_state_dict(path))


@given(text=st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_becomes_one_printable_line(text: str) -> None:
    shown = one_line(text)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert one_line(shown) == shown
    assert shown == text or not text.isprintable()


@given(first=st.integers(0, 10**6), second=st.integers(0, 10**6))
def test_numbers_in_names_sort_as_numbers(first: int, second: int) -> None:
    keys = natural_key(f"a{first}.npy"), natural_key(f"a{second}.npy")
    assert (keys[0] < keys[1]) == (first < second)


def test_a_name_of_thousands_of_digits_has_a_place() -> None:
    names = ["9" * 5000, "1" + "0" * 5000, "7"]
    assert sorted(names, key=natural_key) == ["7", names[0], names[1]]
