"""Hostile PyTorch files."""

import io
import pickle
import tarfile
import zipfile
from collections.abc import Iterator

import torch

from tests.formats.contents import zip_bytes
from tests.hostile.bases import pth_bytes
from tests.hostile.crafted import Content, Runs


def pickle_files() -> Iterator[tuple[str, Content]]:
    """Yield a title and what stands in the file for each."""
    good = pth_bytes({"a": torch.ones(100, 100)})
    members = {
        m.filename: zipfile.ZipFile(io.BytesIO(good)).read(m)
        for m in zipfile.ZipFile(io.BytesIO(good)).infolist()
    }
    script = next(name for name in members if name.endswith("data.pkl"))
    storage = next(name for name in members if name.endswith("data/0"))
    for protocol in (0, 2, 4):
        code = pickle.dumps({"a": Runs()}, protocol)
        yield f"code, protocol {protocol}", zip_bytes({**members, script: code})
        yield f"code without a zip, protocol {protocol}", code
    yield "a whole module", pth_bytes(torch.nn.Linear(2, 2))
    yield "code in the old format", pth_bytes({"a": Runs()}, legacy=True)
    yield (
        "code behind a good start",
        pth_bytes({"a": torch.ones(2)}, legacy=True)[:-20] + pickle.dumps(Runs()),
    )
    calls = {
        "bytes of 100 GB": b"cbuiltins\nbytearray\n(\x8a\x05\x00\xe8\x76\x48\x17tR",
        "a tensor of 100 GB": b"ctorch\nTensor\n(\x8a\x05\x00\xe8\x76\x48\x17tR",
        "a storage of 100 GB": b"ctorch\nFloatStorage\n(\x8a\x05\x00\xe8\x76\x48\x17tR",
        "a size of a hundred thousand": b"ctorch\nSize\n(" + b"(" + b"K\x01" * 10**5 + b"ttR",
        "eval": b"cbuiltins\neval\n(V1+1\ntR",
        "torch.load": b"ctorch\nload\n(V/etc/passwd\ntR",
        "a file of torch.hub": b"ctorch.hub\nload\n(VX\ntR",
        "another Python module": b"cantigravity\nfly\n(tR",
        "a number of 10^9 digits": b"\x8b\xff\xff\xff\x7f",
        "a memory slot at 2^31": b"]r\xff\xff\xff\x7f",
        "deep nesting": b"(" * 10**5 + b"t" * 10**5,
        "lists within lists": b"]" * 5000 + b"a" * 4999,
    }  # fmt: skip
    for title, call in calls.items():
        yield title, zip_bytes({**members, script: b"\x80\x02}X\x01\x00\x00\x00a" + call + b"s."})
        yield f"{title}, without a zip", b"\x80\x02}X\x01\x00\x00\x00a" + call + b"s."
    yield (
        "a storage packed by a factor of 1000",
        lambda: zip_bytes({**members, storage: bytes(4 * 10**8)}, zipfile.ZIP_DEFLATED),
    )
    yield "a storage that is too short", zip_bytes({**members, storage: bytes(8)})
    yield "a storage that is missing", zip_bytes({k: v for k, v in members.items() if k != storage})
    yield (
        "a storage of 2^62 numbers",
        zip_bytes(
            {
                **members,
                script: members[script].replace(
                    b"M\x10'", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x3f", 1
                ),
            }
        ),
    )
    yield (
        "a view of 100 GB",
        zip_bytes(
            {
                **members,
                script: members[script].replace(
                    b"KdKd\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", 1
                ),
            }
        ),
    )
    yield (
        "a view that begins outside",
        zip_bytes({**members, script: members[script].replace(b"K\x00", b"J\xff\xff\xff\x7f", 1)}),
    )
    yield "a script that is empty", zip_bytes({**members, script: b""})
    yield (
        "a script of 100 MB",
        lambda: zip_bytes(
            {**members, script: b"\x80\x02" + b"N0" * (5 * 10**7) + b"N."}, zipfile.ZIP_DEFLATED
        ),
    )
    yield "no script", zip_bytes({"evil/data": b""})
    yield "a member outside of its folder", zip_bytes({"../../escape": b"x", **members})
    yield "not a mapping", pth_bytes([1, 2, 3])
    yield "a mapping of numbers", pth_bytes({"a": 1, 2: torch.ones(1)})
    yield "sparse tensors", pth_bytes({"a": torch.eye(3).to_sparse()})
    yield "names with line breaks", pth_bytes({"a\nb\x1b[31m": torch.ones(1)})
    yield "a tar archive", _tar()
    yield (
        "TorchScript",
        zip_bytes(
            {
                "a/data.pkl": b"\x80\x02N.",
                "a/constants.pkl": b"\x80\x02).",
                "a/code/__torch__.py": b"import os",
                "a/version": b"3",
            }
        ),
    )


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("pickle", "storages", "tensors", "../escape"):
            raw = pickle.dumps(Runs(), 2)
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    return stream.getvalue()
