"""Strong gravitational lens images from a diffusion model.

The public names load what they need when they are first used, so that importing the package is
cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gravlensdiffusion.balancing.balance import balance
    from gravlensdiffusion.classification.classifier import LensClassifier
    from gravlensdiffusion.errors import GravLensError
    from gravlensdiffusion.evaluation.evaluate import evaluate
    from gravlensdiffusion.formats.open import open_set
    from gravlensdiffusion.generation.dataset import LensDataset
    from gravlensdiffusion.generation.generator import LensGenerator
    from gravlensdiffusion.generation.samples import LensSamples
    from gravlensdiffusion.sets.records import LensRecord, SetHeader
    from gravlensdiffusion.simulation.render import lenstronomy_kwargs
    from gravlensdiffusion.simulation.simulated_set import simulate
    from gravlensdiffusion.store.reader import LensStore
    from gravlensdiffusion.store.writer import write_store
    from gravlensdiffusion.training.diffusion import train

__version__ = "0.1.0"

_MODULES = {
    "GravLensError": "errors",
    "LensClassifier": "classification.classifier",
    "LensDataset": "generation.dataset",
    "LensGenerator": "generation.generator",
    "LensRecord": "sets.records",
    "LensSamples": "generation.samples",
    "LensStore": "store.reader",
    "SetHeader": "sets.records",
    "balance": "balancing.balance",
    "evaluate": "evaluation.evaluate",
    "lenstronomy_kwargs": "simulation.render",
    "open_set": "formats.open",
    "simulate": "simulation.simulated_set",
    "train": "training.diffusion",
    "write_store": "store.writer",
}

__all__ = [
    "GravLensError",
    "LensClassifier",
    "LensDataset",
    "LensGenerator",
    "LensRecord",
    "LensSamples",
    "LensStore",
    "SetHeader",
    "balance",
    "evaluate",
    "lenstronomy_kwargs",
    "open_set",
    "simulate",
    "train",
    "write_store",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
