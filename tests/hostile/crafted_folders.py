"""Hostile folders: links, pipes, devices, and names that steer a terminal."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gravlensdiffusion.store.writer import write_store
from tests.hostile.crafted import Crafted
from tests.sets.files import HEADER, lens_images, lens_records, save_folder

NAMES = (
    b"a\nb.npy", b"a\rb.npy", b"\x1b[2J.npy", b"\x1b]0;evil\x07.npy", b"\xff\xfe.npy", b"a\xe2\x80\xae.npy", b"x" * 200 + b".npy",
    b"-rf.npy", b"--out.npy", b" .npy", b"9" * 200 + b".npy", b"$(touch marker).npy", b"a\tb.npy", b"%s%n.npy", b"{}.npy", b"[0].npy",
    b"\xed\xa0\x80.npy", b"\xc2\x85.npy", b"'\";.npy",
)  # fmt: skip


def folders() -> list[Crafted]:
    """Return all of them."""
    found = [
        Crafted(
            "folder",
            f"{where}, {title}, is called {name!r:.40}",
            "set",
            _named(name, where, content),
        )
        for name in NAMES
        for title, content in (("good", None), ("bad", b"evil"))
        for where in ("an image", "an image alone", "a class", "a set")
    ]
    found += [Crafted("folder", title, "set", build) for title, build in _entries().items()]
    found.append(Crafted("folder", "two shards, one a view of another file", "set", _shards))
    found.append(Crafted("folder", "twenty bad shards", "set", _bad_shards))
    return found


def _named(name: bytes, where: str, content: bytes | None) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / os.fsdecode(name)
        if where == "a set":
            path = path.with_suffix(".h5")
            write_store(path, lens_records(), HEADER)
        elif where == "a class":
            path.mkdir()
            path = path / "a.npy"
            np.save(path, lens_images(1)[0])
        else:
            with path.open("wb") as stream:
                np.save(stream, lens_images(1)[0])
        if content is not None:
            path.write_bytes(content)
        if where == "an image":
            save_folder(folder, lens_images(2))
            os.link(path, folder / ("copy of " + os.fsdecode(name))[-200:])
        return path if where in ("an image alone", "a set") else folder

    return build


def _entries() -> dict[str, Callable[[Path], Path]]:
    def with_entry(make: Callable[[Path], object]) -> Callable[[Path], Path]:
        def build(folder: Path) -> Path:
            root = save_folder(folder / "set", lens_images(3))
            make(root)
            return root

        return build

    def listen(root: Path) -> None:
        here = Path.cwd()
        os.chdir(root)  # a socket's path has a hundred letters at most
        try:
            with socket.socket(socket.AF_UNIX) as end:
                end.bind("s.npy")
        finally:
            os.chdir(here)

    def ring(root: Path) -> None:
        (root / "a.npy").symlink_to(root / "b.npy")
        (root / "b.npy").symlink_to(root / "a.npy")

    def chain(root: Path) -> None:
        for k in range(60):
            (root / f"link{k}.npy").symlink_to(root / f"link{k + 1}.npy")

    def secret(root: Path) -> None:
        np.save(root.parent / "secret.npy", lens_images(1)[0])
        (root / "a.npy").symlink_to("../secret.npy")

    makers: dict[str, Callable[[Path], object]] = {
        "a pipe": lambda root: os.mkfifo(root / "a.npy"),
        "a socket": listen,
        "a link to endless zeros": lambda root: (root / "a.npy").symlink_to("/dev/zero"),
        "a link to a terminal": lambda root: (root / "a.npy").symlink_to("/dev/tty"),
        "a link to the password file": lambda root: (root / "a.npy").symlink_to("/etc/passwd"),
        "a link to a file outside": secret,
        "a link to its own folder": lambda root: (root / "loop").symlink_to(root),
        "a link to the root": lambda root: (root / "root").symlink_to("/"),
        "links in a ring": ring,
        "a chain of links": chain,
        "a folder called as an image": lambda root: (root / "a.npy").mkdir(),
        "two thousand empty files": lambda root: [
            (root / f"e{k}.npy").touch() for k in range(2000)
        ],
    }
    return {f"a folder with {title}": with_entry(make) for title, make in makers.items()}


def _shards(folder: Path) -> Path:
    import h5py

    write_store(folder / "a.h5", lens_records(), HEADER)
    write_store(folder / "b.h5", lens_records(seed=1), HEADER)
    with h5py.File(folder / "b.h5", "r+") as file:
        del file["images"]
        file["images"] = h5py.ExternalLink("a.h5", "/images")
    return folder


def _bad_shards(folder: Path) -> Path:
    write_store(folder / "a.h5", lens_records(), HEADER)
    whole = (folder / "a.h5").read_bytes()
    for k in range(20):
        (folder / f"bad{k}.h5").write_bytes(whole[: 100 + 300 * k])
    return folder
