"""What is said of files that are not read: which lines of Python make a set of them."""

from pathlib import Path

_PICTURE = "np.asarray(PIL.Image.open({file}).convert('L'))"
_TENSOR = "torch.load({file}, weights_only=True).numpy()"
_OBJECT = "np.load({file}, allow_pickle=True)"
READ_BY = {
    **dict.fromkeys((".gif", ".bmp", ".webp", ".jp2"), _PICTURE),
    **dict.fromkeys((".pt", ".pth"), _TENSOR),
    **dict.fromkeys((".pkl", ".pickle"), _OBJECT),
    ".mat": "scipy.io.loadmat({file})['images']",
    ".parquet": "np.stack(pandas.read_parquet({file})['image'])",
}
"""How an array comes out of other files, by suffix."""
PACKED = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".zst", ".rar"})
"""Files that have to be unpacked."""


def advice(path: Path) -> str:
    """Return what to do with a file of a kind that is not read, as the end of a message."""
    suffix = path.suffix.lower()
    if suffix in PACKED:
        return "unpack it first"
    read = READ_BY.get(suffix, "an array of shape (N, H, W)").format(file=repr(path.name))
    trusted = (
        " (which runs code in it: only for files that you trust)" if "allow_pickle" in read else ""
    )
    target = path.with_suffix(".npy").name
    return f"in Python, images = {read}{trusted} and np.save({target!r}, images) make a set of it"
