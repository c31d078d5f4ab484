"""Sets to files that a browser saves."""

import zipfile
from pathlib import Path

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.writers import write_images
from gravlensdiffusion.generation.samples import LensSamples

KINDS = {
    "h5": ("lenses.h5", "application/x-hdf5"),
    "npz": ("lenses.npz", "application/octet-stream"),
    "png": ("lenses.png", "image/png"),
    "fits": ("lenses-fits.zip", "application/zip"),
}
"""Name and type of the file of each kind."""


def write(samples: LensSamples, kind: str, folder: Path, model: str) -> Path:
    """Write a set to a new file of an empty folder.

    Args:
        samples: The set.
        kind: One of `KINDS`; ``fits`` is one file an image, packed.
        folder: The folder.
        model: Name of the model.

    Returns:
        The file.

    Raises:
        GravLensError: If there is no such kind.
    """
    if kind not in KINDS:
        raise GravLensError(f"unknown kind of file '{kind}'; choose from {', '.join(KINDS)}")
    path = folder / KINDS[kind][0]
    if kind != "fits":
        return samples.save(path)
    write_images(folder / "set", samples.records(), samples.header, ("fits",), model=model)
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as packed:
        for image in sorted((folder / "set" / "fits").iterdir()):
            packed.write(image, image.name)
    return path
