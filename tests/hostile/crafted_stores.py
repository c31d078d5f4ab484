"""Hostile HDF5 files: links, views of other files, and sizes that no file holds."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from gravlensdiffusion.store.writer import write_store
from tests.hostile.crafted import Crafted
from tests.sets.files import HEADER, lens_records

Change = Callable[[h5py.File, Path], object]
SECRET = "secret.h5"


def store_files() -> list[Crafted]:
    """Return all of them."""
    changes: dict[str, Change] = {**_links(), **_elsewhere(), **_sizes(), **_types()}
    ours = [
        Crafted("HDF5", title, "set", _store(change, is_ours=True))
        for title, change in (changes | _attributes()).items()
    ]
    return ours + [
        Crafted("HDF5", f"{title}, of others", "set", _store(change, is_ours=False))
        for title, change in changes.items()
    ]


def _store(change: Change, *, is_ours: bool) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = write_store(folder / "a.h5", lens_records(), HEADER)
        with h5py.File(folder / SECRET, "w") as secret:
            secret["images"] = np.ones((7, 1, 8, 8), np.float32)
            secret["labels"] = np.zeros(7, np.int16)
        with h5py.File(path, "r+") as file:
            if not is_ours:
                del file.attrs["schema_version"]
            change(file, folder)
        return path

    return build


def _put(name: str, value: Callable[[h5py.File, Path], object]) -> Change:
    """Return a change that replaces an object, or a link, by another."""

    def change(file: h5py.File, folder: Path) -> None:
        del file[name]
        made = value(file, folder)
        if made is not None:
            file[name] = made

    return change


def _links() -> dict[str, Change]:
    def pipe(_: h5py.File, folder: Path) -> object:
        os.mkfifo(folder / "pipe")
        return h5py.ExternalLink(str(folder / "pipe"), "/x")

    def circle(file: h5py.File, _: Path) -> object:
        file["circle"] = h5py.SoftLink("/images")
        return h5py.SoftLink("/circle")

    def own_parent(file: h5py.File, _: Path) -> None:
        file["parameters/again"] = file["parameters"]
        file["parameters/root"] = file["/"]

    found: dict[str, Change] = {"a group that holds itself": own_parent}
    for name in ("images", "labels", "parameters", "subhaloes", "parameters/theta_E"):
        targets: dict[str, Callable[[h5py.File, Path], object]] = {
            "a link to another file": lambda _, folder, name=name: h5py.ExternalLink(
                str(folder / SECRET), name
            ),
            "a link to no file": lambda *_: h5py.ExternalLink("/nowhere/none.h5", "/x"),
            "a link to a pipe": pipe,
            "a link to endless zeros": lambda *_: h5py.ExternalLink("/dev/zero", "/x"),
            "a link to the password file": lambda *_: h5py.ExternalLink("/etc/passwd", "/x"),
            "a soft link": lambda *_: h5py.SoftLink("/parameters"),
            "a soft link to nothing": lambda *_: h5py.SoftLink("/nothing"),
            "a link in a circle": circle,
        }
        found |= {f"/{name} is {title}": _put(name, make) for title, make in targets.items()}
    return found


def _elsewhere() -> dict[str, Change]:
    def virtual(_: h5py.File, folder: Path, file_name: str = SECRET) -> h5py.VirtualLayout:
        layout = h5py.VirtualLayout((7, 1, 8, 8), "<f4")
        layout[:] = h5py.VirtualSource(str(folder / file_name), "images", (7, 1, 8, 8))
        return layout

    def view(target: str) -> Change:
        def change(file: h5py.File, folder: Path) -> None:
            del file["images"]
            file.create_virtual_dataset("images", virtual(file, folder, target))

        return change

    def raw(target: str) -> Change:
        def change(file: h5py.File, folder: Path) -> None:
            del file["images"]
            place = str(folder / target)
            file.create_dataset(
                "images", (7, 1, 8, 8), "<f4", external=[(place, 0, h5py.h5f.UNLIMITED)]
            )

        return change

    def labels(file: h5py.File, _: Path) -> None:
        del file["labels"]
        file.create_dataset("labels", (7,), "<i2", external=[("/etc/hostname", 0, 14)])

    targets = (SECRET, "none.h5", "/etc/passwd", "/dev/zero", "../../../etc/hostname")
    return {
        **{f"/images is a view of {target}": view(target) for target in targets},
        **{f"/images lies in {target}": raw(target) for target in targets},
        "/labels lies in another file": labels,
    }


def _sizes() -> dict[str, Change]:  # noqa: C901 - a list of ways
    def huge(name: str, shape: tuple[int, ...], dtype: str, **options: object) -> Change:
        def change(file: h5py.File, _: Path) -> None:
            attributes = dict(file[name].attrs)
            del file[name]
            file.create_dataset(name, shape, dtype, **options).attrs.update(attributes)

        return change

    def all_huge(num: int, **options: object) -> Change:
        def change(file: h5py.File, _: Path) -> None:
            names = list(file["parameters"])
            del file["images"], file["labels"], file["subhaloes"]
            file.create_dataset("images", (num, 1, 8, 8), "<f4", **options)
            file.create_dataset("labels", (num,), "<i2").attrs["class_names"] = ["a"]
            for name in names:
                del file[f"parameters/{name}"]
                file.create_dataset(f"parameters/{name}", (num,), "<f8").attrs["unit"] = ""

        return change

    def bomb(side: int, **options: object) -> Change:
        def change(file: h5py.File, _: Path) -> None:
            del file["images"]
            shape = (7, 1, side, side)
            images = file.create_dataset("images", shape, "<f4", compression="gzip", **options)
            for k in range(7):
                images[k] = np.eye(side, dtype=np.float32) * k

        return change

    def filters(*codes: tuple[int, tuple[int, ...]]) -> Change:
        def change(file: h5py.File, _: Path) -> None:
            del file["images"]
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_chunk((1, 1, 8, 8))
            for code, values in codes:
                plan.set_filter(code, h5py.h5z.FLAG_OPTIONAL, values)
            space = h5py.h5s.create_simple((7, 1, 8, 8))
            made = h5py.h5d.create(file.id, b"images", h5py.h5t.IEEE_F32LE, space, plan)
            pixels = np.arange(448, dtype="<f4").reshape(7, 1, 8, 8)
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, pixels)

        return change

    def inflating(file: h5py.File, _: Path) -> None:
        """A chunk that unpacks to a thousand times its size."""
        import zlib

        del file["images"]
        images = file.create_dataset(
            "images", (7, 1, 8, 8), "<f4", chunks=(1, 1, 8, 8), compression="gzip"
        )
        packed = zlib.compress(bytes(10**9), 9)
        for k in range(7):
            images.id.write_direct_chunk((k, 0, 0, 0), packed)

    return {
        "/images of 100 GB that are not there": huge("images", (7, 1, 60_000, 60_000), "<f4"),
        "100 GB of images that are not there": all_huge(400_000_000, chunks=(1, 1, 8, 8)),
        "10 GB of images that are not there": all_huge(40_000_000, chunks=(1, 1, 8, 8)),
        "10 GB of images in one piece that are not there": all_huge(40_000_000),
        "images of 200 MB that are not there": huge("images", (7, 1, 7000, 7000), "<f4", chunks=(1, 1, 100, 100)),
        "no image": huge("images", (0, 1, 8, 8), "<f4", maxshape=(None, 1, 8, 8)),
        "10^18 labels": huge("labels", (10**18,), "<i2", chunks=(4096,)),
        "10^11 subhaloes": huge("subhaloes", (10**11,), "<i8,<f8,<f8,<f8", chunks=(4096,)),
        "chunks of 3 GB": huge("images", (7, 1, 8, 8), "<f4", chunks=(7, 1, 8, 8), maxshape=(None, 1, 8, 8)),
        "zeros packed by a factor of 1000": bomb(4000, chunks=(1, 1, 4000, 4000)),
        "zeros packed twice": filters((1, (9,)), (1, (9,))),
        "chunks that unpack to 1 GB each": inflating,
        "scale-offset": filters((6, (0, 0))),
        "n-bit": filters((5, ())),
        "szip": filters((4, (4, 8))),
        "an unknown filter": filters((32099, (1, 2, 3))),
        "checksums": filters((3, ())),
    }  # fmt: skip


def _types() -> dict[str, Change]:
    def typed(name: str, dtype: object, shape: tuple[int, ...]) -> Change:
        def change(file: h5py.File, _: Path) -> None:
            attributes = dict(file[name].attrs)
            del file[name]
            file.create_dataset(name, shape, dtype).attrs.update(attributes)

        return change

    kinds = {
        "references": h5py.ref_dtype, "regions": h5py.regionref_dtype, "text of any length": h5py.string_dtype(),
        "lists of any length": h5py.vlen_dtype(np.float32), "text": "S8", "truth values": "?", "half numbers": "<f2",
        "long numbers": np.dtype(np.longdouble), "complex numbers": "<c8", "an enumeration": h5py.enum_dtype({"a": 1}),
        "opaque": h5py.opaque_dtype(np.dtype("V8")), "arrays": np.dtype(("<f4", (8,))), "fields": "<f4,<f4",
    }  # fmt: skip
    found: dict[str, Change] = {}
    for title, dtype in kinds.items():
        found[f"/images of {title}"] = typed("images", dtype, (7, 1, 8, 8))
        found[f"/labels of {title}"] = typed("labels", dtype, (7,))
        found[f"/subhaloes of {title}"] = typed("subhaloes", dtype, (7,))
        found[f"/parameters/theta_E of {title}"] = typed("parameters/theta_E", dtype, (7,))
    found["/images is a group"] = _put(
        "images", lambda file, _: file.create_group("images") and None
    )
    found["/parameters is a data set"] = _put("parameters", lambda *_: np.arange(3))
    found["/labels is a type"] = _put("labels", lambda *_: np.dtype("<i2"))
    found["/labels is a scalar"] = _put("labels", lambda *_: np.int16(3))
    found["/labels is empty"] = _put("labels", lambda *_: h5py.Empty("<i2"))
    return found


def _attributes() -> dict[str, Change]:
    values: dict[str, object] = {
        "a list": [1, 2, 3], "nothing": h5py.Empty("f8"), "text with line breaks": "a\nb\x1b[31m\x07", "a long text": "x" * 60_000,
        "half of a letter": np.bytes_(b"\xff\xfe\xed\xa0\x80"), "a huge number": np.uint64(2**64 - 1), "no number": np.nan,
        "truth": True, "an array of 60 kB": np.zeros(7500), "fields": np.zeros(1, "<f4,<i8")[0], "complex": 1j,
    }  # fmt: skip
    found: dict[str, Change] = {}
    for name in ("schema_version", "flux_unit", "config", "seed", "pixel_scale_arcsec", "resize"):
        for title, value in values.items():
            found[f"attribute {name} is {title}"] = lambda file, _, name=name, value=value: (
                file.attrs.create(name, value)
            )

        def refer(file: h5py.File, _: Path, name: str = name) -> None:
            file.attrs.create(name, file["images"].ref, dtype=h5py.ref_dtype)

        found[f"attribute {name} is a reference"] = refer
    names = {
        "line breaks": ["a\nb", "\x1b]0;evil\x07", "c"], "equal names": ["a", "a", "a"], "numbers": [1, 2, 3],
        "a name of 20,000 letters": ["x" * 20_000, "b", "c"], "5,000 digits": ["9" * 5000, "b", "c"], "no names": h5py.Empty("f8"),
        "one name": ["a"], "empty names": ["", " ", "\t"],
    }  # fmt: skip
    for title, value in names.items():
        found[f"classes: {title}"] = lambda file, _, value=value: file["labels"].attrs.create(
            "class_names", value
        )

    def many(file: h5py.File, _: Path) -> None:
        for k in range(3000):
            file[f"parameters/p{k}"] = np.zeros(7)

    def named(file: h5py.File, _: Path) -> None:
        for name in ("a\nb", "\x1b[2J", "é" * 100, "x" * 5000):
            file[f"parameters/{name}"] = np.arange(7.0)
            file[f"parameters/{name}"].attrs["unit"] = "m\n\x1b[31m"

    def deep(file: h5py.File, _: Path) -> None:
        group = file
        for _ in range(2000):
            group = group.create_group("g")

    return {
        **found,
        "3,000 parameters": many,
        "parameters with odd names": named,
        "groups 2,000 deep": deep,
    }
