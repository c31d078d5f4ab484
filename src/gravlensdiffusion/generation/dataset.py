"""Images for other people's networks, as PyTorch's data loaders take them."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Unpack

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from gravlensdiffusion.config.bounds import ANY
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.request import Asked
from gravlensdiffusion.sets.lens_set import LensSet

Item = tuple[Tensor, int]


class LensDataset(Dataset[Item]):
    """A data set of PyTorch: the images of a set, or those that a model draws when they are asked for.

    An item is an image, float32 of shape ``(C, H, W)`` in the unit of the set or of the model, and its
    class, -1 where it has none. Image k of a model depends on (seed, k) and on what is asked for alone,
    so that a loader gives the same batches with any number of workers. A batch is drawn at once.

    A model has no end: leave ``shuffle`` off, as its images come in no order anyway, or say ``num``.

    Args:
        source: A set, the path of one, or a model.
        num: Images of a model in an epoch; None for as many as are asked for.
        transform: What each image goes through, or None.
        asked: What a model is asked for; see `LensGenerator.request`.

    Raises:
        GravLensError: If there is no such set, or the model cannot do what is asked of it.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> lenses = LensDataset(LensGenerator.from_pretrained("lens28"))  # doctest: +SKIP
        >>> for images, labels in DataLoader(lenses, batch_size=64):  # doctest: +SKIP
        ...     ...
    """

    def __init__(
        self,
        source: LensSet | LensGenerator | str | os.PathLike[str],
        *,
        num: int | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        **asked: Unpack[Asked],
    ) -> None:
        if isinstance(source, LensGenerator):
            if num is not None and num < 1:
                raise GravLensError(f"`num` must be at least 1, got {num}")
            self.classes: tuple[str, ...] = source.config.class_names
            # What cannot be is refused here, and not in a worker.
            source.request(1, **asked)
            self._first, label = asked.pop("first", 0), asked.pop("label", None)
            if label is None:
                label = list(self.classes) or ANY
            self._cycle = [label] if isinstance(label, str) else list(label)
        else:
            source = source if isinstance(source, LensSet) else open_set(source)
            if num is not None or asked:
                name = next(iter(asked), "num")
                raise GravLensError(f"`{name}` is asked of a model, and this is a set")
            self.classes = source.header.class_names
        self._source, self._num, self._asked, self._transform = source, num, asked, transform

    def __len__(self) -> int:
        """Number of images; the largest that Python has for a model without an end."""
        if isinstance(self._source, LensSet):
            return len(self._source)
        return sys.maxsize if self._num is None else self._num

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Return some items; a loader asks for a batch of them at once."""
        outside = [index for index in indices if not 0 <= index < len(self)]
        if outside:
            raise IndexError(f"there is no image {outside[0]}")
        if isinstance(self._source, LensSet):
            labels = self._source.labels[list(indices)].tolist()
            images = torch.from_numpy(self._source.read(list(indices)))
        else:
            parts = [self._drawn(self._source, run) for run in _runs(indices)]
            labels = [label for part in parts for label in part[1]]
            images = torch.cat([part[0] for part in parts])
        change = self._transform or (lambda image: image)
        return [(change(image), label) for image, label in zip(images, labels, strict=True)]

    def _drawn(self, model: LensGenerator, numbers: range) -> tuple[Tensor, list[int]]:
        if model.device.type == "cuda" and get_worker_info() is not None:
            raise GravLensError(
                "a model on a GPU draws in one process: give the loader no workers, or the model "
                "device='cpu'"
            )
        start = numbers.start % len(self._cycle)
        asked = self._asked | {
            "label": self._cycle[start:] + self._cycle[:start],
            "first": self._first + numbers.start,
        }
        samples = model.sample(len(numbers), batch_size=len(numbers), **asked)
        return samples.to_torch(), samples.labels.tolist()


def _runs(indices: Sequence[int]) -> Iterator[range]:
    """Yield whole numbers as ranges of those that follow each other."""
    for run in np.split(np.array(indices), np.flatnonzero(np.diff(indices) != 1) + 1):
        yield range(int(run[0]), int(run[-1]) + 1)
