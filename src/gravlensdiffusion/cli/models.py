"""``gravlens models``: what is bundled, read from the models' configurations alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gravlensdiffusion.model.folders import CONFIG, FEW_STEPS, MODELS_FOLDER

if TYPE_CHECKING:
    from gravlensdiffusion.config.model import ParameterConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """List the models that come with the package: size, resolution, classes, training data."""


def run(options: Options) -> None:
    """Print a few lines for each bundled model."""
    del options
    folders = list(bundled_folders())
    if not folders:
        print("no models are bundled")
    for folder in folders:
        print(describe(folder))


def bundled_folders(root: Path = MODELS_FOLDER) -> Iterator[Path]:
    """Yield the folder of each bundled model, lens28 before lens150."""
    from gravlensdiffusion.sets.naming import natural_key

    found = (path.parent for path in root.glob(f"*/{CONFIG}"))
    yield from sorted(found, key=lambda folder: natural_key(folder.name))


def describe(folder: Path) -> str:
    """Say in a few lines what a model makes and what it was trained on.

    Raises:
        GravLensError: If its configuration cannot be read.
    """
    from gravlensdiffusion.codec import from_json
    from gravlensdiffusion.config.model import ModelConfig

    text = (folder / "config.json").read_bytes()
    config = from_json(ModelConfig, text, source=f"{folder.name}/config.json")
    size = f"{config.image_size} x {config.image_size} pixels"
    if config.num_channels != 1:
        size += f", {config.num_channels} channels"
    if config.pixel_scale_arcsec is not None:
        size += f" of {config.pixel_scale_arcsec:.4g} arcsec"
    few_steps = ""
    if (folder / FEW_STEPS / CONFIG).is_file():
        text = (folder / FEW_STEPS / CONFIG).read_bytes()
        source = f"{folder.name}/{FEW_STEPS}/config.json"
        short = from_json(ModelConfig, text, source=source).sampling.few_steps
        few_steps = f", distilled for {', '.join(map(str, short))}"
    own = config.sampling
    qualities = f"draft {own.draft_steps or own.num_steps}, standard {own.num_steps}, "
    qualities += f"best {own.best_steps or own.num_steps} steps"
    weights = [path.stat().st_size for path in folder.rglob("model.safetensors")]
    rows = {
        "images": f"{size}, in units of {config.flux_unit}",
        "classes": ", ".join(config.class_names) or "none",
        "parameters": ", ".join(_shown_range(each) for each in config.parameters) or "none",
        "weights": f"{sum(weights) / 1e6:.1f} MB",
        "sampler": f"{own.sampler}, {own.num_steps} steps{few_steps}",
        "quality": qualities,
        "trained on": config.training_data or "not recorded",
    }
    lines = [folder.name, *(f"  {name + ':':12}{value}" for name, value in rows.items())]
    return "\n".join(lines)


def _shown_range(parameter: "ParameterConfig") -> str:
    """Say what values of a parameter can be ordered."""
    return f"{parameter.name} {' to '.join(parameter.shown_ends())} {parameter.unit}".rstrip()
