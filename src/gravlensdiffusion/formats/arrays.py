"""Which of several arrays of a file are the images of a set, and which tells their classes."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import MAX_CLASSES
from gravlensdiffusion.errors import AmbiguousImageError, BadImageError, listed, one_line
from gravlensdiffusion.formats.image import MIN_SIDE, Facts
from gravlensdiffusion.sets.naming import parse_name

CLASS_NAMES = "class_names"
MAX_LABEL_BYTES = 2**28
IMAGE_WORDS = ("image_data", "images", "image", "imgs", "stamps", "cutouts", "data", "arr_0", "x")
LABEL_WORDS = ("labels", "label", "classes", "class", "targets", "target", "ans", "arr_1", "y")
"""What arrays of images and of classes are called; others go by their shapes."""

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrays:
    """Names of arrays in a file: that of the images, that of their classes, empty for none, and all others."""

    images: str
    labels: str
    others: tuple[str, ...]
    is_certain: bool  # whether the classes are those that the user named, or that can be no others
    is_plain: bool  # whether nothing had to be chosen

    @property
    def taken(self) -> str:
        """Which were taken, in words; empty where nothing had to be chosen."""
        told = f"array '{self.images}'" + f" with the classes of '{self.labels}'" * bool(
            self.labels
        )
        told += f"; left alone: {listed(self.others)}" if self.others else ""
        return "" if self.is_plain else one_line(told)


class ArrayChoice(NamedTuple):
    """Names of the arrays of images and of classes that the user chooses where files hold several; None for none."""

    dataset: str | None = None
    labels: str | None = None

    def among(self, names: Iterable[str], shape: Callable[[str], Shape]) -> Arrays:
        """Return which arrays of a file are meant.

        Args:
            names: All arrays of the file, in HDF5 with their groups, as ``train/images``.
            shape: Returns that of an array.
        """
        names = list(names)
        images = _asked(self.dataset, names) or _images_of(names, shape)
        labels = _asked(self.labels, names) or _labels_of(images, names)
        others = [name for name in names if name not in (images, labels, CLASS_NAMES)]
        return Arrays(
            images=images,
            labels=labels,
            others=tuple(others),
            is_certain=self.labels is not None or labels == "labels",
            is_plain=self == ArrayChoice()
            and labels in ("", "labels")
            and (images == "images" or len(names) == 1),
        )


def _asked(name: str | None, names: list[str]) -> str:
    if name is None:
        return ""
    wanted = name.strip("/")
    if wanted not in names:
        raise BadImageError(f"holds no array '{wanted}'; it holds {listed(names) or 'none'}")
    return wanted


def _images_of(names: list[str], shape: Callable[[str], Shape]) -> str:
    """Return the array that is called ``images``, the only one, or the one that can be images."""
    others = [name for name in names if name not in ("labels", CLASS_NAMES)]
    if "images" in names or len(others) == 1:
        return "images" if "images" in names else others[0]
    shapes = {name: shape(name) for name in others}
    found = [
        name
        for name in others
        if sum(side >= MIN_SIDE for side in shapes[name][-3:]) >= 2
        and not parse_name(name.rpartition("/")[2]).is_certain
    ]
    stacks = [name for name in found if len(shapes[name]) > 2]
    named = [name for name in found if _around(name, IMAGE_WORDS) is not None]
    for chosen in (named, stacks or found):
        if len(chosen) == 1:
            return chosen[0]
    if not found:
        raise BadImageError(
            f"must hold an array 'images' or only one array; it holds {listed(others) or 'none'}"
        )
    raise AmbiguousImageError(
        f"must hold an array 'images' or only one array of images; choose one with `dataset`: "
        f"{listed(named or found)}"
    )


def _labels_of(images: str, names: list[str]) -> str:
    """Return the array of classes that is called as that of the images is: ``X_train``, ``y_train``."""
    if "/" not in images and "labels" in names:
        return "labels"
    around = _around(images, IMAGE_WORDS) or (images.rpartition("/")[0], "", "")
    found = [name for name in names if _around(name, LABEL_WORDS) == around]
    return found[0] if len(found) == 1 else ""


def _around(name: str, words: tuple[str, ...]) -> tuple[str, str, str] | None:
    """Return the group of a name, and what stands before and behind one of some words in it."""
    group, _, last = name.lower().rpartition("/")
    found = re.fullmatch(rf"(.*?)(?<![a-z0-9])(?:{'|'.join(words)})(?![a-z0-9])(.*)", last)
    found = found or re.fullmatch(rf"(.*_|)(?:{'|'.join(words)})(_.*|)", last)
    return None if found is None else (group, found[1], found[2])


def facts_of_images(
    arrays: Arrays, read: Callable[[str], NDArray[np.generic] | None], num: int
) -> list[Facts]:
    """Return what is known of each image of a file.

    An array that is called like classes, and is none, as it holds real numbers, is left alone.

    Raises:
        BadImageError: If the classes are sure to be meant, and are no classes of the images.
    """
    names = read(CLASS_NAMES)
    try:
        labels, class_names = _class_of_each(
            read(arrays.labels) if arrays.labels else None, names, num
        )
    except BadImageError:
        if arrays.is_certain or not arrays.labels:
            raise
        arrays = replace(arrays, labels="", others=(arrays.labels, *arrays.others))
        labels, class_names = _class_of_each(None, names, num)
    common = Facts(class_names=class_names, is_stacked=num > 1, taken=arrays.taken)
    return [replace(common, class_name=label) for label in labels or [None] * num]


def _class_of_each(
    labels: NDArray[np.generic] | None, names: NDArray[np.generic] | None, num: int
) -> tuple[list[str | None], tuple[str, ...]]:
    """Return the class of each image, and the classes in order where the file lists them.

    Args:
        labels: Whole numbers, -1 for none, or text, of shape ``(N,)`` or ``(N, 1)``; or ones and
            zeros of shape ``(N, K)``, a one in each row; None where there are none.
        names: Names of the classes, or None.
        num: Number of images N.
    """
    if names is not None and names.size > MAX_CLASSES:
        raise BadImageError(f"names {names.size} classes, more than the limit of {MAX_CLASSES}")
    class_names = () if names is None else tuple(one_line(_text(name)) for name in names.ravel())
    if len(set(class_names)) < len(class_names):
        raise BadImageError("names a class twice")
    if labels is None:
        return [], class_names
    labels = _as_vector(labels)
    if len(labels) != num:
        raise BadImageError(f"has {len(labels)} labels for {num} images")
    if labels.dtype.kind in "USO":
        stored = [_text(label) for label in labels]
        texts = list(map(one_line, stored))
        if len(set(texts)) < len(set(stored)):
            raise BadImageError("has labels that differ in control characters alone")
        if class_names and not set(texts) <= set(class_names):
            raise BadImageError("has labels that are not in its class_names")
        return list(texts), class_names
    if labels.dtype.kind not in "iu":
        raise BadImageError(
            f"has labels of type {labels.dtype}, allowed are whole numbers and text"
        )
    highest = len(class_names) - 1 if class_names else np.iinfo(np.int16).max
    if labels.min() < -1 or labels.max() > highest:
        raise BadImageError(f"has labels outside -1 (unlabelled) to {highest}")
    names_of = class_names or [str(k) for k in range(int(labels.max()) + 1)]
    return [names_of[k] if k >= 0 else None for k in labels.tolist()], class_names


def _as_vector(labels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return labels as a vector, whole where they are stored as real numbers or as a one in each row."""
    kind = labels.dtype.kind
    if labels.ndim == 2 and labels.shape[1] > 1 and kind in "biuf":
        is_one = labels == 1
        if (is_one.sum(axis=1) != 1).any() or not (is_one | (labels == 0)).all():
            raise BadImageError(f"has labels of shape {labels.shape} that are no class each")
        return np.argmax(is_one, axis=1)
    labels = labels.reshape(-1)
    if kind == "b" or (kind == "f" and bool((labels == np.trunc(labels.astype(float))).all())):
        # Beyond the range of labels, which is looked at next, real numbers do not fit.
        return np.clip(labels.astype(np.float64), -2, 2**31).astype(np.int64)
    return labels


def _text(label: object) -> str:
    return label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)
