"""Images of a set that are copies of one another, or of one object."""

import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.sets.flux import resize
from gravlensdiffusion.sets.naming import are_bands, object_words, parse_name, split_name
from gravlensdiffusion.untrusted.npy import read_header
from gravlensdiffusion.untrusted.probe import check_unpacked, held_bytes

SIDE = 8
"""Height and width of the thumbnails that images are compared by."""
NEAR = 0.006
"""Distance of two thumbnails, each of length 1, below which images are copies.

`benchmarks/copies.py` measures: an image of preset deeplense moves by up to 0.0050 at 28 pixels where it is
saved in 8 bits; one of euclid or hst, whose peak leaves few levels to the rest, by up to 0.047, and is then
not known again. Different simulated images, `no_lens` among them, are 0.014 apart or more. Of pairs that are
alike in all but their subhaloes 2% of preset deeplense and 35% of hst are nearer than this, and count as one."""
_NUM_LEADING = 6
"""Directions in which candidates are looked for; thumbnails are compared in all."""
_IN_STACK = re.compile(r"(.*?)(?:\[(\d+)\])?", re.DOTALL)
_Object = tuple[Path, tuple[str, ...], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Signatures:
    """What is kept of each image to know a copy of it.

    Attributes:
        digests: Digest of the pixels of each image, shape ``(N,)``.
        thumbnails: Small images without their mean and of length 1, shape ``(N, C * SIDE * SIDE)``;
            zero where an image is flat.
    """

    digests: NDArray[np.void]
    thumbnails: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.digests)

    @classmethod
    def of_thumbnails(cls, thumbnails: NDArray[np.floating]) -> "Signatures":
        """Return signatures of images of which the thumbnails alone are kept."""
        numbers = [k.to_bytes(16, "big") for k in range(len(thumbnails))]
        return cls(digests=np.array(numbers, dtype="V16"), thumbnails=thumbnails.astype(np.float32))


@dataclass(frozen=True, slots=True)
class _Copies:
    """Which images of a set belong together: the number of the group of each, from 0, shape ``(N,)``."""

    groups: NDArray[np.int64]

    @property
    def num_different(self) -> int:
        """Number of groups."""
        return len(np.unique(self.groups))

    @property
    def repeated(self) -> list[NDArray[np.int64]]:
        """Positions of the images of each group of several, in order."""
        order = np.argsort(self.groups, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.groups[order])) + 1)
        return [images for images in parts if len(images) > 1]

    @property
    def note(self) -> str:
        """What to say of the copies; empty where there are none."""
        num = len(self.groups) - self.num_different
        if not num:
            return ""
        return (
            f"{num:,} of {len(self.groups):,} images are copies of others, or show the same object: "
            f"{self.num_different:,} are different, and copies stay together"
        )


def sign(batches: Iterable[NDArray[np.float32]]) -> Signatures:
    """Return the signatures of images in batches of shape ``(B, H, W)`` or ``(B, C, H, W)``."""
    digests: list[bytes] = []
    thumbnails = [np.empty((0, SIDE * SIDE), np.float32)]
    for batch in batches:
        digests += [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in batch]
        thumbnails.append(_thumbnails(batch))
    return Signatures(
        digests=np.array(digests, dtype="V16"),
        thumbnails=np.concatenate(thumbnails[1:] or thumbnails),
    )


def group(signatures: Sequence[Signatures], names: Sequence[str] = ()) -> _Copies:
    """Group the images of sets, one after the other.

    Images are of one group if they are equal in every pixel, if their thumbnails are closer than
    `NEAR`, which neither the zero nor the scale of the flux plays a part in, or if their names tell
    that they are bands or observations of one object. Images that show nothing, as the noise-free
    twins of empty sky, are no copies of each other.

    Args:
        signatures: Those of each set.
        names: Where each image comes from; empty where that plays no part.
    """
    digests = np.concatenate([each.digests for each in signatures])
    _, first, which = np.unique(digests, return_index=True, return_inverse=True)
    numbers = np.arange(len(digests))
    is_flat = np.concatenate([~each.thumbnails.any(axis=1) for each in signatures])
    pairs = [np.stack([numbers, np.where(is_flat, numbers, first[which.ravel()])], axis=1)]
    if len({each.thumbnails.shape[1] for each in signatures}) == 1:
        thumbnails = np.concatenate([each.thumbnails[:] for each in signatures])[first]
        pairs.append(first[_near(thumbnails)])
    pairs.append(_of_one_object(names))
    rows, columns = np.concatenate(pairs).T
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(digests),) * 2)
    return _Copies(connected_components(links, directed=False)[1].astype(np.int64))


def are_known(images: Signatures, known: Signatures) -> NDArray[np.bool_]:
    """Return whether each image is a copy of one of another set, shape ``(N,)``."""
    groups = group([images, known]).groups
    return np.isin(groups[: len(images)], groups[len(images) :])


def encode_thumbnails(thumbnails: NDArray[np.float32]) -> bytes:
    """Return thumbnails as an .npy file of float16."""
    file = io.BytesIO()
    np.save(file, thumbnails.astype(np.float16), allow_pickle=False)
    return file.getvalue()


def read_thumbnails(path: Path) -> NDArray[np.float32] | None:
    """Return the thumbnails of a file, or None where there is none or it is damaged."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            header = read_header(stream)
            is_whole = header.offset + header.num_bytes == path.stat().st_size
            is_ours = len(header.shape) == 2 and header.dtype == np.float16 and header.order == "C"
            if not is_ours or not is_whole:
                return None
            check_unpacked(header.num_bytes, held_bytes(path))
            stored = np.frombuffer(stream.read(), np.float16).reshape(header.shape)
    except (OSError, BadImageError):
        return None
    return stored.astype(np.float32) if np.isfinite(stored).all() else None


def _thumbnails(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = resize(batch.astype(np.float64), SIDE, "area").reshape(len(batch), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.where(length > 0, length, 1), dtype=np.float32)


def _near(thumbnails: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return pairs of thumbnails that are copies, shape ``(P, 2)``."""
    there = np.flatnonzero(np.any(thumbnails != 0, axis=1))
    values = thumbnails[there]
    pairs = [np.empty((0, 2), np.int64)]
    if len(there) > 1:
        _, directions = np.linalg.eigh(np.cov(values.T, dtype=np.float64))
        leading = values @ directions[:, -_NUM_LEADING:]
        tree = cKDTree(leading)
        # A copy of an earlier image asks for none itself, so that many copies are few pairs.
        is_found = np.zeros(len(there), dtype=bool)
        for k in range(len(there)):
            if is_found[k]:
                continue
            others = np.asarray(tree.query_ball_point(leading[k], NEAR))
            others = others[others != k]
            others = others[np.linalg.norm(values[others] - values[k], axis=1) < NEAR]
            if len(others):
                is_found[others] = True
                pairs.append(there[np.stack([np.full(len(others), k), others], axis=1)])
    return np.concatenate(pairs)


def _of_one_object(names: Sequence[str]) -> NDArray[np.int64]:
    """Return pairs whose names differ in band and observation alone, shape ``(P, 2)``."""
    found: defaultdict[_Object, list[int]] = defaultdict(list)
    letters: defaultdict[_Object, set[str]] = defaultdict(set)
    stated: set[_Object] = set()
    for k, name in enumerate(names):
        file, place = cast("re.Match[str]", _IN_STACK.fullmatch(name)).groups()
        path = Path(file)
        parts = parse_name(split_name(path)[0])
        rest = object_words(parts)
        if rest and (parts.band or parts.letter or rest != parts.rest):
            # In stacks of several bands the same place is the same object.
            key = (path.parent, rest, place)
            found[key].append(k)
            if parts.band:
                stated.add(key)
            elif parts.letter:
                letters[key].add(parts.letter)
    pairs = [
        (images[0], k)
        for key, images in found.items()
        if len(letters[key]) + (key in stated) < 2
        or are_bands(frozenset(letters[key]), key in stated)
        for k in images[1:]
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
