"""A model of three classes and four parameters, and tables of what is asked of it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.generation.request import parameter_table

CONFIG = ModelConfig(
    class_names=("no_sub", "cdm", "axion"),
    parameters=(
        ParameterConfig(name="theta_E", unit="arcsec", low=1.0, high=1.65),
        ParameterConfig(name="source_x", unit="arcsec", low=-0.5, high=0.5),
        ParameterConfig(name="gamma1", low=0.0, high=0.29),
        ParameterConfig(name="signal_to_noise", low=10, high=1000, scale="log"),
    ),
)


def values(num: int, asked: Mapping[str, object], seed: int = 0) -> NDArray[np.float64]:
    """Return the table of a number of images."""
    return parameter_table(CONFIG, range(num), asked, seed, "lens64")  # type: ignore[arg-type]
