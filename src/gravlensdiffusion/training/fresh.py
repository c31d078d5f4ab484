"""Training images that are simulated when they are needed, so that none is seen twice."""

from tempfile import TemporaryFile

import numpy as np
import torch
from joblib import cpu_count
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import Indices, as_indices
from gravlensdiffusion.simulation.simulated_set import SimulatedSet, simulate

PREFIX = "preset:"
"""What the name of a simulation preset follows where a data set is named."""
NUM_MEASURED = 4096
"""First images, on which all that a model takes from its training set is measured."""


class FreshSet(SimulatedSet):
    """The first images of a simulation that goes on for as long as the training does.

    Image i of the training is image i of the simulation, whatever the length of the run. The first
    images are simulated once, and kept in a file without a name.

    Args:
        lenses: The first images.
        twins: Whether the training is on noise-free twins; then the images are read as these.
    """

    def __init__(self, lenses: SimulatedSet, *, twins: bool) -> None:
        super().__init__(lenses.config, lenses.numbers, lenses.seed)
        self._twins = twins
        with TemporaryFile() as file:  # it lives as long as the array that maps it
            kept = np.memmap(file, np.float32, "w+", shape=self.shape)
        values = {name: np.full(len(self), np.nan) for name in self.header.parameter_units}
        for k, record in enumerate(lenses.records()):
            kept[k] = record.noise_free if twins else record.image
            for name, value in record.parameters.items():
                values[name][k] = value
        self._kept, self.parameters = kept, values

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Return images, shape ``(B, 1, H, W)``."""
        return np.array(self._kept[as_indices(indices, len(self))])

    read_noise_free = read

    def take(
        self, numbers: NDArray[np.int64], parameters: tuple[str, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Simulate images.

        Args:
            numbers: Their numbers, shape ``(B,)``.
            parameters: Names of the P parameters that are learned.

        Returns:
            Images ``(B, 1, H, W)``, float32; classes ``(B,)``, int64; parameters ``(B, P)``,
            float64, NaN where an image has none.
        """
        records = list(self.simulated([int(number) for number in numbers]))
        images = [each.noise_free if self._twins else each.image for each in records]
        values = [[each.parameters.get(name, np.nan) for name in parameters] for each in records]
        return (
            torch.from_numpy(np.array(images, np.float32)),
            torch.tensor([each.label for each in records]),
            torch.tensor(values, dtype=torch.float64).reshape(len(records), len(parameters)),
        )


def fresh_set(name: str, config: TrainingConfig) -> FreshSet:
    """Return the simulation that a recipe trains on, at its size and with the recipe's seed.

    Raises:
        GravLensError: If there is no such preset, or the recipe needs a set with an end.
    """
    if config.early_stopping.held_out:
        raise GravLensError(
            "each simulated image is seen once, so that `held_out` has nothing to do"
        )
    if not config.total_images:
        raise GravLensError("a simulation has no end, so that `epochs` has no length")
    is_split = config.noise == "split"
    lenses = simulate(
        name.removeprefix(PREFIX),
        NUM_MEASURED,
        config.seed,
        size=config.size,
        noise_free=is_split or None,
        flux_unit="e-/s" if is_split else None,
        num_jobs=cpu_count(),
    )
    return FreshSet(lenses, twins=is_split)
