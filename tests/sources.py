"""Small sets of images for tests, and configurations that train on them in a moment."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.galaxies import GalaxyLight, Source
from gravlensdiffusion.config.network import UNet2DConfig, UNetConfig
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.config.simulation import Scene, SimulationConfig
from gravlensdiffusion.config.training import EMAConfig, TrainingConfig
from gravlensdiffusion.presets.training import PRESETS
from gravlensdiffusion.sets.images import Indices, as_indices
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import SetHeader


@dataclass
class ArraySource(LensSet):
    """A set of images held in memory."""

    images: NDArray[np.float32]
    labels: NDArray[np.int16]
    header: SetHeader = field(default_factory=SetHeader)
    parameters: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.images.shape
        return (channels, height, width)

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Indices) -> NDArray[np.float32]:
        return self.images[as_indices(indices, len(self))]


def smooth(config: SimulationConfig) -> SimulationConfig:
    """Return a simulation of galaxies with one Sersic profile each, and without neighbours."""

    def light(old: Any) -> Any:
        return replace(old, structure=None) if isinstance(old, GalaxyLight) else old

    def source(old: Source | None) -> Any:
        return old and replace(old, light=light(old.light))

    def scene(old: Scene) -> Scene:
        return replace(old, galaxy=light(old.galaxy), companion=source(old.companion))

    return replace(
        config,
        lens=replace(config.lens, light=light(config.lens.light)),
        source=source(config.source),
        neighbours=(),
        classes=tuple(
            replace(each, scenes=tuple(scene(one) for one in each.scenes))
            for each in config.classes
        ),
    )


def in_blocks(images: NDArray[np.float32], num: int) -> list[NDArray[np.float32]]:
    """Return images block by block."""
    return [images[k : k + num] for k in range(0, len(images), num)]


def rings(num: int = 40, size: int = 16, seed: int = 0) -> ArraySource:
    """Return rings of two classes, small and large, on a noisy sky of level 0.01.

    Each is brighter towards a side of its own, so that none is a copy of another.

    Their radius is known as theta_E; source_x and signal_to_noise are numbers that they do not
    show.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(num) % 2
    radius = np.where(labels == 0, 0.2, 0.35) * size + random.normal(0, 0.3, num)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    ring = np.exp(-0.5 * ((np.hypot(x, y) - radius[:, None, None]) / (0.08 * size)) ** 2)
    images = ring + 0.01 + 0.003 * random.normal(size=ring.shape)
    slope = np.random.default_rng([seed, 1]).uniform(-0.4, 0.4, (2, num, 1, 1))
    images -= 0.5 * ring * (0.8 + (slope[0] * x + slope[1] * y) / (0.5 * size))
    header = SetHeader(
        class_names=("small", "large"),
        pixel_scale_arcsec=0.1,
        flux_unit="e-/s",
        preset=None,
        parameter_units={"theta_E": "arcsec", "source_x": "arcsec"},
    )
    parameters = {
        "theta_E": 0.1 * radius,
        "source_x": random.uniform(-0.5, 0.5, num),
        "signal_to_noise": np.exp(random.uniform(1, 5, num)),
    }
    pixels = images[:, None].astype(np.float32)
    return ArraySource(pixels, labels.astype(np.int16), header, parameters)


def tiny(preset: str = "cutouts28", **changes: object) -> TrainingConfig:
    """Return a preset shrunk until it trains in a moment: 8 pixels, 8 and 16 channels."""
    config = PRESETS[preset]()
    network = config.model.network
    if isinstance(network, UNetConfig):
        network = replace(
            network,
            channels=(8, 16),
            num_blocks=1,
            attention_levels=(1,),
            num_heads=2,
            embedding_dim=16,
        )
    elif isinstance(network, UNet2DConfig):
        network = replace(
            network,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )
    sampling = SamplingConfig(sampler="dpmpp", num_steps=4)
    settings: dict[str, object] = {
        "model": replace(config.model, network=network, sampling=sampling),
        "size": 8,
        "resize": None,
        "batch_size": 8,
        "total_images": 96,
        "log_images": 16,
        "checkpoint_images": 32,
        "sample_images": 0,
        "ema": EMAConfig(halflife_images=100) if config.ema.halflife_images else config.ema,
    }
    return replace(config, **(settings | changes))
