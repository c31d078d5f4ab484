"""Where the weights of the FID Inception network come from: a path, the cache, or the public copy."""

import hashlib
import os
import tempfile
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.cache import cache_folder

FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
PUBLIC_URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE_NAME}"
"""Where pytorch-fid takes the weights from, 96 MB."""

PUBLIC_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Hash of the public file; its first eight digits are in the file's name."""

MAX_BYTES = 200 * 2**20
"""A download is given up when it is larger than this."""


class WeightsNotFound(GravLensError):
    """The weights are neither in the cache nor within reach; what needs them is left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """A file of weights, and what the report says about it.

    Attributes:
        path: The file.
        sha256: Its hash.
        remark: What the reader of the report must know about it, or None.
    """

    path: Path
    sha256: str
    remark: str | None = None

    @property
    def is_public(self) -> bool:
        """Whether these are the public weights, with which distances can be compared."""
        return self.sha256 == PUBLIC_SHA256


def find_inception_weights(
    path: str | Path | None = None, *, download: bool = True, timeout_s: float = 10.0
) -> WeightsFile:
    """Return the weights: those at a path, else the cached copy, else a download into the cache.

    Args:
        path: Where the user has them, or None. They are taken as they are; if they are not the
            public ones, the remark says so.
        download: Whether to fetch the public file where none is cached.
        timeout_s: How long to wait for the server's answer, and for each piece of it [s].

    Raises:
        WeightsNotFound: If no path was given and there is no usable copy; the message says why.
        GravLensError: If a path was given and cannot be read.
    """
    if path is not None:
        return _given(Path(path))
    folder = cache_folder()
    if folder is None:
        raise WeightsNotFound("there is no home folder to keep Inception weights in")
    cached = folder / FILE_NAME
    remark = None
    try:
        if cached.exists():
            sha256 = _hash_of(cached)
            if sha256 == PUBLIC_SHA256:
                return WeightsFile(path=cached, sha256=sha256)
            remark = f"the cached {cached} was not used: {_mismatch(sha256)}"
        if download:
            _download(cached, timeout_s)
            return WeightsFile(path=cached, sha256=PUBLIC_SHA256, remark=remark)
        reason = f"there are no Inception weights at {cached}"
    except (OSError, HTTPException, WeightsNotFound) as error:
        # A URLError says in its `reason` what went wrong.
        why = getattr(error, "reason", None) or error
        reason = f"Inception weights could not be fetched from {PUBLIC_URL}: {why}"
    raise WeightsNotFound("; ".join(part for part in (remark, reason) if part))


def _given(path: Path) -> WeightsFile:
    if not path.is_file():
        raise GravLensError(f"{path}: there is no such file of Inception weights")
    try:
        sha256 = _hash_of(path)
    except OSError as error:
        raise GravLensError(f"{path}: cannot be read: {error.strerror or error}") from None
    remark = None if sha256 == PUBLIC_SHA256 else f"{path}: {_mismatch(sha256)}"
    return WeightsFile(path=path, sha256=sha256, remark=remark)


def _download(target: Path, timeout_s: float) -> None:
    """Fetch the public file, check its hash, and only then give it its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".inception-", suffix=".tmp")
    temporary = Path(name)
    try:
        digest, size = hashlib.sha256(), 0
        with (
            os.fdopen(handle, "wb") as file,
            urllib.request.urlopen(PUBLIC_URL, timeout=timeout_s) as answer,
        ):
            while piece := answer.read(2**20):
                size += len(piece)
                if size > MAX_BYTES:
                    raise WeightsNotFound("the answer is larger than the file")
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != PUBLIC_SHA256:
            raise WeightsNotFound(_mismatch(digest.hexdigest()))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mismatch(sha256: str) -> str:
    return f"not the public weights: SHA-256 begins with {sha256[:8]}, expected {PUBLIC_SHA256[:8]}"
