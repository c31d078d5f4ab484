"""Models on the Hugging Face hub: found by ``owner/name``, cached as its users know it, and put there.

Of a repository, JSON, safetensors and the card are fetched, and nothing else: no pickle, no code.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.errors import GravLensError

NAME = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
"""A repository, and a branch, tag or commit of it."""
DESCRIPTIONS = (
    "config.json",
    "few_steps/config.json",
    "model_index.json",
    "scheduler_config.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "README.md",
)
WEIGHTS = (
    "model.safetensors",
    "ema.safetensors",
    "few_steps/model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
)


def is_hub_name(text: str) -> bool:
    """Whether a text can only be a name on the hub: ``owner/name``, where no folder is called so."""
    return NAME.fullmatch(text) is not None and not Path(text).parent.exists()


def fetch(
    name: str,
    check: Callable[[Path], object],
    *,
    revision: str | None = None,
    **asked: Any,
) -> Path:
    """Return the folder of a model in the hub's cache, brought there where it has to be.

    Args:
        name: ``owner/name``, or ``owner/name@revision``.
        check: Refuses a model by its descriptions, before its weights are fetched.
        revision: Branch, tag or commit; the main branch by default.
        asked: ``cache_dir``, ``local_files_only`` and ``token``, as `LensGenerator.from_pretrained` takes them.

    Raises:
        GravLensError: If there is no such model, or it is neither cached nor reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *items: Any, **options: Any) -> None:
            super().__init__(*items, **(options | {"disable": True}))

    found = NAME.fullmatch(name)
    if found is None:
        raise GravLensError(f"'{name}' is no name on the hub, which is like owner/name")

    def bring(revision: str | None, patterns: tuple[str, ...]) -> Path:
        return Path(
            snapshot_download(
                found["repository"],
                revision=revision,
                allow_patterns=list(patterns),
                tqdm_class=Silent,
                **asked,
            )
        )

    try:
        folder = bring(revision or found["revision"], DESCRIPTIONS)
        check(folder)
        # The very commit that was looked at, which is the name of its folder.
        bring(folder.name, WEIGHTS)
    except GravLensError:
        raise
    # The hub's library and what it stands on fail in many ways.
    except Exception as error:  # noqa: BLE001
        raise GravLensError(f"the hub has no '{name}' for us: {_reason(error)}") from None
    return folder


def push(
    folder: Path,
    repository: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload a model of gravlensdiffusion",
    create_pr: bool = False,
) -> str:
    """Put a folder into a repository of the hub, which is made where there is none.

    Args:
        folder: What is put there.
        repository: ``owner/name``.
        private: Whether a new repository is private; by default what its owner has chosen.
        token: By default that of who is logged in.
        revision: Branch to write to; the main branch by default.
        commit_message: What the commit says.
        create_pr: Whether to propose it instead of writing it.

    Returns:
        The address of the commit.

    Raises:
        GravLensError: If the hub does not take it.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="gravlensdiffusion")
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None and not create_pr:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message=commit_message,
            create_pr=create_pr,
        )
    except Exception as error:  # noqa: BLE001 - as in `fetch`
        raise GravLensError(f"the hub does not take '{repository}': {_reason(error)}") from None
    return str(commit.pr_url if create_pr else commit.commit_url)


def summary(config: ModelConfig) -> dict[str, str]:
    """Return what a model makes, and what of, in words."""
    size, scale, own = config.image_size, config.pixel_scale_arcsec, config.sampling
    channels = f", {config.num_channels} channels" if config.num_channels > 1 else ""
    pixels = "" if scale is None else f" of {scale:.4g} arcsec"
    ranges = [
        f"{each.name} {float(low):g} to {float(high):g} {each.unit}".rstrip()
        for each in config.parameters
        for low, high in [each.shown_ends()]
    ]
    return {
        "images": f"{size} x {size} pixels{channels}{pixels}, in units of {config.flux_unit}",
        "classes": ", ".join(config.class_names) or "none",
        "parameters": ", ".join(ranges) or "none",
        "sampler": f"{own.sampler}, {own.num_steps} steps",
        "trained on": config.training_data or "not recorded",
    }


def card(config: ModelConfig, name: str, license_name: str | None = None) -> str:
    """Return the card of a model, with the metadata that the hub reads.

    Args:
        config: The model.
        name: ``owner/name``, or what stands for it.
        license_name: Licence of the weights, as the hub writes it (``mit``); None to say nothing.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="gravlensdiffusion",
        license=license_name,
        pipeline_tag="unconditional-image-generation",
        tags=["gravitational-lensing", "strong-lensing", "astronomy", "diffusion"],
    )
    rows = summary(config)
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return f"""---
{data.to_yaml()}
---

# {name.rpartition("/")[2]}

A diffusion model of strong gravitational lenses.

| | |
|---|---|
{table}

```python
from gravlensdiffusion import LensGenerator

generator = LensGenerator.from_pretrained("{name}")
samples = generator.sample(100, seed=0)
```
"""


def _reason(error: Exception) -> str:
    """Return in a few words why the hub fails."""
    from huggingface_hub import errors

    told: dict[type[Exception], str] = {
        errors.GatedRepoError: "its owner has to let you in; log in with `hf auth login`",
        errors.RepositoryNotFoundError: "there is no such repository, or it is not public",
        errors.RevisionNotFoundError: "the repository has no such revision",
        errors.LocalEntryNotFoundError: "it is not in the cache, and the hub was not reached",
    }
    statuses = {
        401: "it does not know this token; log in with `hf auth login`",
        403: "this token may not do that; make one that may",
    }
    status = getattr(getattr(error, "response", None), "status_code", 0)
    known = [text for kind, text in told.items() if isinstance(error, kind)]
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return (known or [statuses.get(status, f"{first:.200}")])[0]
