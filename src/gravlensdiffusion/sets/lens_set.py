"""The one type for a set of images, and what can be made of one: a part, another size, other classes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.errors import GravLensError, listed
from gravlensdiffusion.sets.flux import UNKNOWN, bring_to_size, default_method, weights
from gravlensdiffusion.sets.images import Indices, LazyImages, as_indices
from gravlensdiffusion.sets.records import LensRecord, SetHeader


class LensSet(LazyImages):
    """A set of images; what changes it returns another one that reads from this one."""

    def record(self, index: int) -> LensRecord:
        """Return image ``index`` with what is known of it."""
        return next(self.select([index]).records())

    def select(self, indices: Indices) -> "LensSet":
        """Return some of the images, in the order asked for."""
        return View(self, rows=as_indices(indices, len(self)))

    def crop(self, size: int) -> "LensSet":
        """Return the middle of each image.

        Args:
            size: Height and width of the middle [pixel].

        Raises:
            GravLensError: If the images are smaller, or the middle is none.
        """
        channels, height, width = self.image_shape
        if size > min(height, width):
            raise GravLensError(f"{self.name(0)}: has {height} x {width} pixels, too few to crop")
        if size < 1:
            raise GravLensError(f"the middle must have at least 1 pixel a side, got {size}")
        # What a set says of its making was said of larger images.
        header = replace(self.header, config="")
        return View(
            self,
            header=header,
            image_shape=(channels, size, size),
            change=partial(middle, size=size),
        )

    def resized(
        self, size: int | None, method: str | None = None, *, flux_unit: str | None = None
    ) -> "LensSet":
        """Return the images at another size, as a simulation of that size would have made them.

        Args:
            size: New height and width [pixel]; None for their own.
            method: Named resize; None for the one that goes with the size.
            flux_unit: Unit that images which do not tell theirs are taken to be in; None for none.

        Raises:
            GravLensError: If the images are not square, or smaller than ``size``, which is at least 1, or the
                method is not known.
        """
        channels, height, width = self.image_shape
        if height != width:
            raise GravLensError(f"images must be square, these are {height} by {width} pixels")
        size = height if size is None else size
        if size > height:
            raise GravLensError(f"the images have {height} pixels a side, fewer than {size}")
        if size == height:
            return self
        method = method or default_method(size)
        weights(height, size, method)  # refuses what cannot be, before an image is read
        unit, scale = self.header.flux_unit, self.header.pixel_scale_arcsec
        if unit == UNKNOWN and flux_unit is not None:
            unit = flux_unit
        new_scale = None if scale is None else scale * height / size
        return View(
            self,
            header=replace(self.header, pixel_scale_arcsec=new_scale, resize=method),
            image_shape=(channels, size, size),
            change=partial(bring_to_size, size=size, method=method, flux_unit=unit),
        )

    def twins(self) -> "LensSet":
        """Return the noise-free twins in the place of the images."""
        return View(self, are_twins=True)

    def labelled(self, labels: NDArray[np.integer], class_names: Sequence[str]) -> "LensSet":
        """Return the images with other classes.

        Args:
            labels: Class of each image, shape ``(N,)``; -1 where it is not known.
            class_names: Names of the classes.

        Raises:
            GravLensError: If there is not a label for each image, or one that names no class.
        """
        header, labels = replace(self.header, class_names=tuple(class_names)), np.asarray(labels)
        is_known = (labels >= UNLABELLED) & (labels < len(header.class_names))
        if labels.shape != (len(self),) or not is_known.all():
            raise GravLensError(
                f"{len(self)} images take as many labels from -1 to {len(header.class_names) - 1}"
            )
        return View(self, header=header, labels=labels.astype(np.int16))

    def relabelled(self, names: Mapping[str, str]) -> "LensSet":
        """Return the images with classes of other names; those that get one name become one.

        Args:
            names: New names of classes by their own; a class that is left out keeps its name.

        Raises:
            GravLensError: If a class is not known, or a name is none.
        """
        own = self.header.class_names
        for name in names:
            if name not in own:
                raise GravLensError(
                    f"there is no class '{name}'; there are: {listed(own) or 'none'}"
                )
        new = [names.get(name, name) for name in own]
        kept = tuple(dict.fromkeys(new))
        fillings = tuple(
            replace(
                filling,
                classes=tuple(
                    replace(each, name=names.get(each.name, each.name)) for each in filling.classes
                ),
            )
            for filling in self.header.fillings
        )
        header = replace(self.header, class_names=kept, fillings=fillings)
        # The last place is that of -1.
        table = np.array([*map(kept.index, new), UNLABELLED], np.int16)
        return View(self, header=header, labels=table[self.labels])

    def with_classes(self, names: Iterable[str]) -> "LensSet":
        """Return the images with these classes, in this order; those of another one have none."""
        own, kept = self.header.class_names, tuple(names)
        if kept == own:
            return self
        # The last place is that of -1.
        places = [kept.index(name) if name in kept else UNLABELLED for name in own]
        return self.labelled(np.array([*places, UNLABELLED])[self.labels], kept)

    def with_present_classes(self) -> "LensSet":
        """Return the images without the classes that none of them belongs to."""
        return self.with_classes(name for name, num in self.class_counts.items() if num)


class View(LensSet):
    """A set that reads its images from another one.

    Args:
        source: The other set.
        rows: Which images of it, shape ``(N,)``; None for all.
        header, labels, image_shape: Those in the place of the other set's.
        change: What images and twins go through, from ``(B, C, H, W)``; None for nothing.
        are_twins: Whether the images are the noise-free twins of the other set's.
    """

    def __init__(
        self,
        source: LensSet,
        *,
        rows: NDArray[np.int64] | None = None,
        header: SetHeader | None = None,
        labels: NDArray[np.int16] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        change: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None,
        are_twins: bool = False,
    ) -> None:
        self._source, self._rows, self._change, self._are_twins = source, rows, change, are_twins
        self.header = source.header if header is None else header
        labels = source.labels if labels is None else labels
        self.labels = labels if rows is None else labels[rows]
        self.image_shape = source.image_shape if image_shape is None else image_shape
        self.files, self.dtypes, self.notes = source.files, source.dtypes, source.notes
        self.problems, self.num_skipped = source.problems, source.num_skipped
        self.states_unit = source.states_unit
        self.has_noise_free = source.has_noise_free and not are_twins
        self.has_masked = source.has_masked and not are_twins

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""
        read = self._source.read_noise_free if self._are_twins else self._source.read
        return self._changed(read(self._in_source(indices)))

    def read_whole(self, index: int) -> NDArray[np.float32]:
        """Return all of an image, shape ``(C, H, W)``, where the set holds a part of it as it is."""
        if self._change is not None or self._are_twins:
            return super().read_whole(index)
        return self._source.read_whole(self._row(index))

    def read_noise_free(self, indices: Indices) -> NDArray[np.float32]:
        """Return the noise-free twins of images, shape ``(B, C, H, W)``."""
        return self._changed(self._source.read_noise_free(self._in_source(indices)))

    def read_masked(self, indices: Indices) -> NDArray[np.bool_]:
        """Return which pixels take part of what was not observed, shape ``(B, C, H, W)``."""
        masked = self._source.read_masked(self._in_source(indices))
        return masked if self._change is None else self._changed(masked.astype(np.float32)) > 0

    def read_psf(self, index: int) -> NDArray[np.generic] | None:
        """Return the point spread function that comes with an image; None where its pixels are others now."""
        return None if self._change is not None else self._source.read_psf(self._row(index))

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from."""
        return self._source.name(self._row(index))

    def close(self) -> None:
        """Close the files of the other set."""
        self._source.close()

    @cached_property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""
        values, rows = self._source.parameters, self._rows
        return values if rows is None else {name: each[rows] for name, each in values.items()}

    @cached_property
    def subhaloes(self) -> NDArray[np.void]:
        """Table of subhaloes: columns image, x [arcsec], y [arcsec], mass [M_sun]."""
        table = self._source.subhaloes
        if self._rows is None:
            return table
        starts = np.searchsorted(table["image"], self._rows)
        stops = np.searchsorted(table["image"], self._rows, "right")
        parts = [np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)]
        found = table[np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)]
        found["image"] = np.repeat(np.arange(len(self)), stops - starts)
        return found

    def _row(self, index: int) -> int:
        return int(index if self._rows is None else self._rows[index])

    def _in_source(self, indices: Indices) -> Indices:
        return indices if self._rows is None else self._rows[as_indices(indices, len(self))]

    def _changed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return images if self._change is None else np.asarray(self._change(images), np.float32)


def middle(pixels: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the middle of images, shape ``(..., H, W)``, of a height and width [pixel].

    Where a side and the middle are not both even or both odd, it lies half a pixel towards smaller x
    and y.
    """
    top, left = ((side - size) // 2 for side in pixels.shape[-2:])
    return pixels[..., top : top + size, left : left + size]
