"""Hostile models, recipes and tables."""

import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.presets.training import training_preset
from tests.hostile.bases import leaves, pth_bytes, table_bytes, with_leaf
from tests.hostile.bases import model_files as good_model
from tests.hostile.crafted import Crafted, Runs, crafted, sparse
from tests.hostile.crafted_pickles import pickle_files

EXTREMES = (
    "0",
    "-1",
    "1" + "0" * 30,
    "1e308",
    "1e999",
    "null",
    "[]",
    "{}",
    '"\\n\\u001b[31m"',
    "true",
)
ODD_JSON = {
    "nothing": b"", "no JSON": b"evil", "deep nesting": b"[" * 10**6, "deep mappings": b'{"a":' * 10**5, "a number": b"1",
    "no number": b"NaN", "a number of a million digits": b"9" * 10**6, "bytes that are no letters": b"\xff\xfe{}", "a byte order mark": b"\xef\xbb\xbf{}",
    "zeros": bytes(1000), "blanks of 20 MB": b" " * (20 * 10**6), "key with line breaks": b'{"a\\nb\\u001b[31m": 1}', "a key twice": b'{"image_size": 28, "image_size": 64}',
    "half of a letter": b'{"flux_unit": "\\ud800"}', "a key of a million letters": b'{"' + b"x" * 10**6 + b'": 1}',
}  # fmt: skip


def model_files() -> list[Crafted]:
    """Return all of them."""
    config, weights = good_model()
    recipe = to_json(training_preset("cutouts28")).encode()
    return [
        *(_model(f"config.json: {title}", text, weights) for title, text in ODD_JSON.items()),
        *(_model(f"config.json: {title}", text, weights) for title, text in _extremes(config)),
        *crafted("JSON", "recipe", "recipe.json", ODD_JSON),
        *crafted("JSON", "recipe", "recipe.json", dict(_extremes(recipe))),
        *(_model(title, config, changed, "safetensors") for title, changed in _weights(weights)),
        *crafted("PyTorch", "model file", "model.pth", dict(pickle_files())),
        *crafted("PyTorch", "inception", "inception.pth", dict(pickle_files())),
        *crafted("CSV", "conditions", "orders.csv", dict(_tables())),
        *_no_files(),
    ]


def _model(title: str, config: bytes, weights: bytes, kind: str = "JSON") -> Crafted:
    def build(folder: Path) -> Path:
        (folder / "config.json").write_bytes(config)
        (folder / "model.safetensors").write_bytes(weights)
        return folder

    return Crafted(kind, title, "model", build)


def _extremes(config: bytes) -> Iterator[tuple[str, bytes]]:
    tree = json.loads(config)
    for path in leaves(tree):
        for k, value in enumerate(EXTREMES):
            # A third of them, in turn: values and places all come up.
            if (k + len(path) + sum(map(ord, str(path[-1])))) % 3 == 0:
                yield f"{'.'.join(map(str, path))} is {value[:12]}", with_leaf(tree, path, value)
    for name, value in (
        ("image_size", "100000"), ("network.channels", "[8" + ", 8" * 100_000 + "]"), ("network.channels", "[80000000]"),
        ("network.num_blocks", "100000000"), ("network.embedding_dim", "1000000000"), ("network.num_heads", "0"),
        ("network.num_heads", "-4"), ("network.channels", "[0]"), ("network.channels", "[-8]"), ("prior_size", "1000000000000"),
        ("prior_size", "-5"), ("schedule.num_steps", "100000000000"), ("num_channels", "100000000"), ("network.patch", "28"),
        ("sampling.num_steps", "1000000000000"), ("sampling.few_steps", "[1" + ", 1" * 10**5 + "]"),
        ("network.refine_channels", "60000"), ("network.channels", "[65536]"), ("network.refine_channels", "-1"),
        ("network.lens_equation", '{"pixel_scale_arcsec": 0.1, "supersampling": 1000}'),
        ("network.lens_equation", '{"values": {"source_n_sersic": 1e999}}'),
        ("class_names", "[" + ", ".join(f'"{k}"' for k in range(10**5)) + "]"), ("observation.num_pixels", "1000000"),
    ):  # fmt: skip
        path = tuple(name.split("."))
        place = tree.get("model", tree) if path[0] not in tree else tree
        prefix = ("model",) if place is not tree else ()
        if len(path) == 1 or isinstance(place.get(path[0]), dict):
            yield f"{name} is {value[:20]}", with_leaf(tree, (*prefix, *path), value)


def safetensors(header: bytes, data: bytes = bytes(1000), length: int | None = None) -> bytes:
    """Return a safetensors file with any header."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _weights(good: bytes) -> Iterator[tuple[str, bytes]]:
    size = struct.unpack("<Q", good[:8])[0]
    header, data = json.loads(good[8 : 8 + size]), good[8 + size :]
    name = next(key for key in header if key.startswith("network"))

    def changed(**changes: object) -> bytes:
        text = json.dumps({**header, name: {**header[name], **changes}}).encode()
        return safetensors(text, data)

    for shape in ([10**6, 10**6], [2**63, 2**63], [-1], [], [0], "evil", [1] * 1000, [10**30]):
        yield f"a tensor of shape {shape!s:.30}", changed(shape=shape)
    for offsets in ([0, 10**12], [10**12, 0], [-4, 4], [0], [0, 2**64], [3, 5], None):
        yield f"a tensor at {offsets}", changed(data_offsets=offsets)
    for dtype in ("F64", "BOOL", "F8_E5M2", "EVIL", "", None, "I8", "F4", "F6_E2M3", "C64"):
        yield f"a tensor of type {dtype}", changed(dtype=dtype)
    for length in (0, 1, 2**31, 2**63, 2**64 - 1, 10**8):
        yield f"a header of {length} bytes", safetensors(b"{}", length=length)
    yield "a header that is nested", safetensors(b"[" * 10**6)
    yield "a header that is no letters", safetensors(b"\xff" * 100)
    yield (
        "tensors that overlap",
        safetensors(
            json.dumps(
                {
                    k: {**v, "data_offsets": [0, v["data_offsets"][1] - v["data_offsets"][0]]}
                    for k, v in header.items()
                }
            ).encode(),
            data,
        ),
    )
    yield (
        "a tensor missing",
        safetensors(json.dumps({k: v for k, v in header.items() if k != name}).encode(), data),
    )
    yield (
        "a tensor with line breaks",
        safetensors(json.dumps({**header, "a\nb\x1b": header[name]}).encode(), data),
    )
    yield (
        "a hundred thousand tensors",
        safetensors(
            json.dumps(
                {
                    f"t{k}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
                    for k in range(10**5)
                }
            ).encode(),
            b"",
        ),
    )
    nan = safetensors(json.dumps(header).encode(), b"\xff" * len(data))
    yield "weights that are no numbers", nan
    yield (
        "weights that are all huge",
        safetensors(json.dumps(header).encode(), b"\xff\xff\x7f\x7f" * (len(data) // 4)),
    )
    yield "a pickle called safetensors", pickle.dumps(Runs())
    yield "a PyTorch file called safetensors", pth_bytes({"a": torch.ones(3)})


def _tables() -> Iterator[tuple[str, bytes]]:
    good = table_bytes()
    lines = {
        "nothing": b"", "zeros": bytes(10**6), "no letters": b"\xff\xfe\x00" * 100, "a line of 50 MB": b"x" * (5 * 10**7),
        "a row of 50 MB": good + b"\n" + b"," * (5 * 10**7), "an open quote": good + b'\n"' + b"x\n" * 10**6, "100,000 columns": b"label," * 10**5,
        "a column with line breaks": b'"a\nb\x1b[31m",label\n1,cdm', "a class with line breaks": b'label\n"a\nb\x1b[2J"', "a number of a million digits": b"theta_E\n" + b"9" * 10**6,
        "an endless number": b"theta_E\n1e999", "a number with line breaks": b'theta_E\n"1\n\x1b[31m2"', "a formula": b"theta_E\n=cmd|'/c calc'!A1", "no number": b"theta_E\nnan\n-inf",
        "a zero letter": b"label\ncdm\x00", "a million empty lines": b"label" + b"\n" * 10**6 + b"evil", "odd digits": b"theta_E\n\xd9\xa1\xd9\xa2", "a byte order mark": b"\xef\xbb\xbf" + good,
        "old line ends": good.replace(b"\n", b"\r"), "hexadecimal": b"theta_E\n0x1p3", "underscores": b"theta_E\n1_0", "too few cells": good + b"\ncdm", "columns twice": b"label,label\ncdm,cdm",
    }  # fmt: skip
    yield from lines.items()


def _no_files() -> list[Crafted]:
    """Pipes, devices and links where a file is expected."""
    found = []
    names = {
        "model": "config.json",
        "recipe": "recipe.json",
        "conditions": "orders.csv",
        "model file": "a.pth",
        "inception": "a.pth",
        "set": "a.h5",
    }

    def pipe(path: Path) -> None:
        os.mkfifo(path)

    makers: dict[str, Callable[[Path], object]] = {
        "a pipe": pipe, "a link to endless zeros": lambda path: path.symlink_to("/dev/zero"), "a link to itself": lambda path: path.symlink_to(path),
        "a link to nothing": lambda path: path.symlink_to("/nowhere"), "a folder": lambda path: path.mkdir(), "a file of 100 GB that is a hole": lambda path: sparse(path, b"", 10**11),
    }  # fmt: skip
    for way, name in names.items():
        for title, make in makers.items():

            def build(
                folder: Path,
                way: str = way,
                name: str = name,
                make: Callable[[Path], object] = make,
            ) -> Path:
                make(folder / name)
                return folder if way == "model" else folder / name

            found.append(Crafted("no file", f"{way} is {title}", way, build))

    def weights(folder: Path) -> Path:
        (folder / "config.json").write_bytes(good_model()[0])
        return sparse(folder / "model.safetensors", struct.pack("<Q", 2) + b"{}", 10**11).parent

    def wide(folder: Path) -> Path:
        """Weights whose header is right, and that lie in a hole of 100 GB."""
        (folder / "config.json").write_bytes(good_model()[0])
        text = json.dumps(
            {"a": {"dtype": "F32", "shape": [25 * 10**9], "data_offsets": [0, 10**11]}}
        ).encode()
        sparse(
            folder / "model.safetensors",
            struct.pack("<Q", len(text)) + text,
            8 + len(text) + 10**11,
        )
        return folder

    found.append(Crafted("safetensors", "weights that are a hole", "model", weights))
    found.append(Crafted("safetensors", "a tensor of 100 GB that is a hole", "model", wide))
    return found
