"""``gravlens models``: what is bundled, read from the models' configurations alone."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from gravlensdiffusion.errors import GravLensError, one_line
from gravlensdiffusion.interop.hub import summary
from gravlensdiffusion.model.folders import (
    CARD,
    CONFIG,
    FEW_STEPS,
    bundled_models,
    find_model,
    read_config,
)
from gravlensdiffusion.sets.naming import natural_key

USE = re.compile(r"^Take it for (.+?)\.$", re.MULTILINE | re.DOTALL)
"""Where the card of a model says which model is for what."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """List the models that come with the package, and say which is for what.

    Attributes:
        name: A bundled model, a run, a checkpoint, a pipeline of diffusers, or owner/name on the hub;
            all bundled models by default.
        json: Print one line of JSON a model, for programs.
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    json: bool = False

    def run(self) -> None:
        """Print a few lines for each model."""
        # lens28 before lens150.
        names = sorted(bundled_models(), key=natural_key) if self.name is None else [self.name]
        if not names and not self.json:
            print("no models are bundled")
        for name in names:
            folder = find_model(name)
            if self.json:
                print(json.dumps({"name": name, **_read_facts(folder)}))
            else:
                print(_describe(folder, name))


def _describe(folder: Path, name: str) -> str:
    """Say in a few lines what a model is for, what it makes and what it was trained on.

    The texts are a stranger's: each stays in one line, and its backticks name no flags.
    """
    facts, told = _read_facts(folder), summary(read_config(folder))
    steps = facts["steps"]
    few = f", distilled for {', '.join(map(str, steps['distilled']))}" if steps["distilled"] else ""
    rows = {
        "for": _read_use(folder),
        "images": told["images"],
        "classes": told["classes"],
        "parameters": told["parameters"],
        "weights": f"{facts['weights_bytes'] / 1e6:.1f} MB",
        "sampler": told["sampler"] + few,
        "quality": "draft {draft}, standard {standard}, best {best} steps".format(**steps),
        "trained on": told["trained on"],
    }
    lines = (f"  {key + ':':12}{one_line(text)}" for key, text in rows.items() if text)
    return "\n".join([one_line(name), *lines])


def _read_use(folder: Path) -> str:
    """Return what the card of a model says that it is for, or nothing."""
    try:
        found = USE.search((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
    return " ".join(found[1].split()) if found else ""


def _read_facts(folder: Path) -> dict[str, Any]:
    """Return what a model makes and what it was trained on, ready for JSON."""
    if folder.is_file():
        raise GravLensError(f"{folder}: holds weights alone, which say nothing of themselves")
    config = short = read_config(folder)
    if (folder / FEW_STEPS / CONFIG).is_file():
        short = read_config(folder / FEW_STEPS)
    own = config.sampling
    weights = [path.stat().st_size for path in folder.rglob("*model.safetensors")]
    return {
        "image_shape": [config.num_channels, config.image_size, config.image_size],
        "pixel_scale_arcsec": config.pixel_scale_arcsec,
        "flux_unit": config.flux_unit,
        "classes": list(config.class_names),
        "parameters": {
            each.name: {"range": [float(end) for end in each.shown_ends()], "unit": each.unit}
            for each in config.parameters
        },
        "weights_bytes": sum(weights),
        "sampler": own.sampler,
        "steps": {
            "draft": own.draft_steps or own.num_steps,
            "standard": own.num_steps,
            "best": own.best_steps or own.num_steps,
            "distilled": list(short.sampling.few_steps),
        },
        "trained_on": config.training_data,
    }
