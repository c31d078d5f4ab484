"""Strong gravitational lens images from a diffusion model.

The public names load what they need when they are first used, so that importing the package is
cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `as` tells type checkers that these are offered here
    from gravlensdiffusion.balancing.balance import balance as balance
    from gravlensdiffusion.classification.classifier import LensClassifier as LensClassifier
    from gravlensdiffusion.errors import GravLensError as GravLensError
    from gravlensdiffusion.evaluation.evaluate import evaluate as evaluate
    from gravlensdiffusion.formats.open import open_set as open_set
    from gravlensdiffusion.generation.dataset import LensDataset as LensDataset
    from gravlensdiffusion.generation.generator import LensGenerator as LensGenerator
    from gravlensdiffusion.generation.samples import LensSamples as LensSamples
    from gravlensdiffusion.sets.records import LensRecord as LensRecord
    from gravlensdiffusion.sets.records import SetHeader as SetHeader
    from gravlensdiffusion.simulation.render import lenstronomy_kwargs as lenstronomy_kwargs
    from gravlensdiffusion.simulation.simulated_set import simulate as simulate
    from gravlensdiffusion.store.reader import LensStore as LensStore
    from gravlensdiffusion.store.writer import write_store as write_store
    from gravlensdiffusion.training.diffusion import train as train

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

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
