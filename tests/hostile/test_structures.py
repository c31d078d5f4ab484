"""Files that hypothesis makes up from the parts of a format: read, or refused in one line.

`test_readers` writes over good files; here headers, cards, chunks and instructions are well formed and
wrong. `make fuzz` runs both with many more examples.
"""

import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.untrusted.state_file import read_state_dict
from tests.formats.contents import npy_bytes
from tests.hostile.bases import leaves, model_files, with_leaf
from tests.hostile.corpus import good_files
from tests.hostile.crafted_arrays import described, object_array
from tests.hostile.crafted_images import chunk, declaring
from tests.hostile.crafted_models import safetensors
from tests.sets.files import lens_images

BASES = {base.name: base for base in good_files()}
# A folder of its own for each example is not needed: each writes its file anew.
examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(max_size=40)
sizes = st.integers(-3, 40) | st.sampled_from([2**15, 2**31 - 1, 2**32, 2**63 - 1, 10**20])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def edited(draw: st.DrawFn, content: bytes) -> bytes:
    """Return good content with up to six places overwritten, then perhaps cut off."""
    changed = bytearray(content)
    places = st.integers(0, len(content) - 1)
    for place, junk in draw(
        st.lists(st.tuples(places, st.binary(min_size=1, max_size=9)), min_size=1, max_size=6)
    ):
        changed[place : place + len(junk)] = junk
    length = draw(st.just(len(changed)) | st.integers(0, len(changed)))
    return bytes(changed[:length])


def refused(read: Callable[[], object]) -> bool:
    """Return whether something was refused; a refusal must be one line."""
    said = ""
    try:
        read()
    except GravLensError as error:
        said = str(error)
    assert said.isprintable()
    return bool(said)


def read_set(path: Path, content: bytes, **options: bool) -> None:
    """Read a set as a command would, all of it."""
    path.write_bytes(content)

    def read(skip_bad: bool) -> None:
        source = open_set(path, skip_bad=skip_bad, **options)
        assert source.header.flux_unit.isprintable()
        assert all(name.isprintable() for name in source.header.class_names)
        source.read(slice(0, 4))

    if refused(lambda: read(skip_bad=False)):
        refused(lambda: read(skip_bad=True))


TRIED = (
    *("a.h5", "a.tif", "lens.h5", "other.h5", "packed.h5", "rice.fits", "hcompress.fits"),
    *("maps.fits", "lzw.tif", "deflate.tiff", "a.jpg", "colour.jpeg"),
)
"""What takes half a second or more for each example, most of it in a process that is started to try it out."""
SETS = [name for name, base in BASES.items() if base.way == "set" and name not in TRIED]
few = settings(examples, max_examples=max(8, settings.default.max_examples // 12))


@pytest.mark.parametrize("name", SETS)
@examples
@given(data=st.data())
def test_edited_sets(tmp_path: Path, name: str, data: st.DataObject) -> None:
    read_set(tmp_path / name, data.draw(edited(BASES[name].content)))


@pytest.mark.parametrize(
    "name", [*TRIED[:2], *(pytest.param(name, marks=pytest.mark.fuzz) for name in TRIED[2:])]
)
@few
@given(data=st.data())
def test_edited_sets_that_are_tried_out(tmp_path: Path, name: str, data: st.DataObject) -> None:
    read_set(tmp_path / name, data.draw(edited(BASES[name].content)))


@examples
@given(
    descr=st.sampled_from(["'<f4'", "'>f8'", "'|u1'", "'<i2'", "'|O'", "'<c8'", "'|b1'", "'<U3'"])
    | texts.map(repr),
    shape=st.lists(sizes, max_size=5).map(lambda sides: f"({', '.join(map(str, sides))},)") | texts,
    data=st.binary(max_size=2000),
)
def test_npy_headers(tmp_path: Path, descr: str, shape: str, data: bytes) -> None:
    try:
        content = described(descr, shape, data)
    except ValueError:  # letters that no header holds
        content = data
    read_set(tmp_path / "a.npy", content)


INSTRUCTIONS = [
    b"]", b"}", b")", b"(", b"a", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"\x87", b"N", b"K\x02", b"\x94", b"R", b"b", b"0", b"2", b"\x88",
    b"\x80\x02", b"h\x00", b"q\x00", b"G?\xf0" + bytes(6), b"X\x03\x00\x00\x00abc", b"U\x02f4", b"C\x04abcd", b"\x81", b"\x93",
    b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy._core.multiarray\nscalar\n",
    b"cos\nsystem\n", b"cbuiltins\neval\n",
]  # fmt: skip


@examples
@given(st.lists(st.sampled_from(INSTRUCTIONS) | st.binary(max_size=3), max_size=60))
@example([b"cbuiltins\neval\n", b"(", b"V1/0\n", b"t", b"R"])
def test_pickles(tmp_path: Path, instructions: list[bytes]) -> None:
    pickled = b"".join(instructions) + b"."
    read_set(tmp_path / "a.npy", object_array(pickled), allow_object_arrays=True)


@examples
@given(edited(BASES["mass.npy"].content))
def test_edited_object_arrays(tmp_path: Path, content: bytes) -> None:
    read_set(tmp_path / "a.npy", content, allow_object_arrays=True)


names = st.sampled_from(
    ["images.npy", "labels.npy", "class_names.npy", "images", "../a.npy", "/a.npy"]
)
members = (
    st.just(npy_bytes(lens_images(3)))
    | edited(npy_bytes(lens_images(3)))
    | st.tuples(st.sampled_from(["'<i8'", "'<U2'", "'<f4'", "'|O'", "'<U0'"]), sizes).map(
        lambda pair: described(pair[0], f"({pair[1]},)", bytes(100))
    )
)


@examples
@given(st.lists(st.tuples(names | texts, members, st.sampled_from([0, 8, 12, 14])), max_size=4))
def test_archives(tmp_path: Path, entries: list[tuple[str, bytes, int]]) -> None:
    stream = BytesIO()
    seen = set()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content, method in entries:
            if name in seen or "\0" in name or not name.isprintable():
                continue
            seen.add(name)
            archive.writestr(zipfile.ZipInfo(name or "a"), content, method)
    read_set(tmp_path / "a.npz", stream.getvalue())


card_names = st.sampled_from(
    ["BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "BSCALE", "BZERO", "BLANK", "CDELT1", "CD1_1", "CD2_2", "PC1_1", "CUNIT1", "CTYPE1", "PIXSCALE",
     "BUNIT", "CLASS", "LABEL", "EXTEND", "PCOUNT", "GCOUNT", "GROUPS", "CROTA2"]
)  # fmt: skip
card_values = (
    sizes.map(str) | st.floats().map(str) | st.sampled_from(["T", "F", "''", "'deg'"]) | texts
)


@few
@given(st.lists(st.tuples(card_names, card_values), max_size=6))
def test_cards(tmp_path: Path, cards: list[tuple[str, str]]) -> None:
    lines = [f"{name:8}= {value:>20}"[:80] for name, value in cards]
    lines = [line.encode("latin1", "replace").decode("latin1") for line in lines]
    read_set(tmp_path / "a.fits", declaring(-32, 2, (16, 16), *lines))


@examples
@given(
    start=st.tuples(*[st.integers(0, 20) | st.sampled_from([2**16, 2**31, 2**32 - 1])] * 2, *[st.integers(0, 16) | st.integers(0, 255)] * 5),
    chunks=st.lists(
        st.tuples(st.sampled_from([b"PLTE", b"tRNS", b"gAMA", b"tEXt", b"zTXt", b"iTXt", b"acTL", b"fcTL", b"fdAT", b"IDAT", b"IHDR", b"eXIf"]), st.binary(max_size=60)),
        max_size=4,
    ),
    pixels=st.binary(max_size=500),
)  # fmt: skip
def test_chunks(
    tmp_path: Path, start: tuple[int, ...], chunks: list[tuple[bytes, bytes]], pixels: bytes
) -> None:
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", *start)), *(chunk(*each) for each in chunks)]
    parts += [chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    read_set(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@examples
@given(
    st.dictionaries(
        texts,
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL"]) | texts,
                "shape": st.lists(sizes, max_size=4),
                "data_offsets": st.lists(sizes, max_size=3),
            }
        )
        | json_values,
        max_size=3,
    )
)
def test_headers_of_weights(tmp_path: Path, header: dict[str, object]) -> None:
    (tmp_path / "config.json").write_bytes(model_files()[0])
    (tmp_path / "model.safetensors").write_bytes(safetensors(json.dumps(header).encode()))
    assert refused(lambda: load_model(tmp_path))


@examples
@given(edited(BASES["model.safetensors"].content))
def test_edited_weights(tmp_path: Path, content: bytes) -> None:
    for name, other in BASES["model.safetensors"].company:
        (tmp_path / name).write_bytes(other)
    (tmp_path / "model.safetensors").write_bytes(content)
    refused(lambda: load_model(tmp_path))


@pytest.mark.parametrize("name", ["a.pth", "old.pth"])
@examples
@given(data=st.data())
def test_edited_states(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = tmp_path / name
    path.write_bytes(data.draw(edited(BASES[name].content)))
    refused(lambda: read_state_dict(path))


RECIPES = {
    ModelConfig: json.loads(model_files()[0]),
    TrainingConfig: json.loads(BASES["recipe.json"].content),
}


@pytest.mark.parametrize("kind", RECIPES)
@examples
@given(data=st.data())
def test_configurations(kind: type, data: st.DataObject) -> None:
    tree = RECIPES[kind]
    path = data.draw(st.sampled_from(leaves(tree)))
    text = json.dumps(data.draw(json_values))
    refused(lambda: from_json(kind, with_leaf(tree, path, text)))
