"""Models on the hub, from a folder in the layout of its cache and from a server on this machine; nothing here touches a network."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.interop.hub import is_hub_name
from tests.conftest import Run
from tests.interop.hub_server import HOME, TOKEN, Hub
from tests.models import LEARNED, ORDERED, awake

FIRST, SECOND = "1" * 40, "2" * 40


def cached(cache: Path, commit: str, generator: LensGenerator, *refs: str) -> Path:
    """Put a model into a cache as the hub's library keeps it: names that are links to blobs."""
    repository = cache / "models--lensing--rings"
    made = generator.save_pretrained(cache / f"made-{commit[0]}", name="lensing/rings")
    snapshot = repository / "snapshots" / commit
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    snapshot.mkdir(parents=True)
    for path in made.iterdir():
        blob = repository / "blobs" / f"{commit[0]}-{path.name}"
        path.rename(blob)
        (snapshot / path.name).symlink_to(blob)
    for ref in refs:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache with two commits of a model, and be offline."""
    cached(tmp_path, FIRST, LensGenerator(awake(LEARNED)), "main")
    cached(tmp_path, SECOND, LensGenerator(awake()), "v2")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_cached_model_is_opened_without_a_network(cache: Path) -> None:
    generator = LensGenerator.from_pretrained("lensing/rings", device="cpu", cache_dir=cache)
    assert generator.name == "rings"
    expected = LensGenerator(awake(LEARNED)).sample(2, seed=3).images
    assert np.array_equal(generator.sample(2, seed=3).images, expected)


@pytest.mark.parametrize(
    ("name", "revision", "config"),
    [
        ("lensing/rings", "v2", ORDERED),
        ("lensing/rings", FIRST, LEARNED),
        ("lensing/rings@v2", None, ORDERED),
        (f"lensing/rings@{FIRST}", None, LEARNED),
    ],
)
def test_a_revision_is_a_branch_a_tag_or_a_commit(
    name: str, revision: str | None, config: object, cache: Path
) -> None:
    found = LensGenerator.from_pretrained(
        name, device="cpu", revision=revision, cache_dir=cache, local_files_only=True
    )
    assert found.config == config


def test_the_command_takes_models_of_the_hub(
    cache: Path, gravlens: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import snapshot_download

    def here(*words: Any, **options: Any) -> str:
        return snapshot_download(*words, **(options | {"cache_dir": cache}))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", here)
    done = gravlens("sample", "--model", "lensing/rings@v2", "--num", 2, "--out", cache / "out")
    assert done.returncode == 0, done.stderr
    assert gravlens("models", "lensing/rings").stdout.startswith("lensing/rings\n")
    refused = gravlens("sample", "--model", "lensing/none", "--num", 2, "--out", cache / "none")
    assert refused.returncode == 2
    assert "'lensing/none' for us: it is not in the cache, and the hub was not reached" in (
        refused.stderr
    )
    assert len(refused.stderr.splitlines()) == 1


def test_a_mistyped_path_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("runs/mine")
    assert is_hub_name("owner/name@main")
    (tmp_path / "runs").mkdir()
    assert not is_hub_name("runs/mine")
    for text in ("lens29", "a/b/c", "./runs/mine", "../mine", "/runs/mine", "owner/", "~/mine"):
        assert not is_hub_name(text)
    with pytest.raises(GravLensError, match="not a path, and bundled are"):
        LensGenerator.from_pretrained("runs/mine", device="cpu")


def test_weights_are_fetched_of_a_model_that_is_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str | None, list[str]]] = []

    def download(_: str, *, revision: str | None, allow_patterns: list[str], **__: object) -> str:
        asked.append((revision, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    snapshot = cached(tmp_path, FIRST, LensGenerator(awake(LEARNED)))
    LensGenerator.from_pretrained("lensing/rings", device="cpu", revision="main")
    assert [revision for revision, _ in asked] == ["main", FIRST]
    patterns = [name for _, names in asked for name in names]
    assert {Path(name).suffix for name in patterns} == {".json", ".safetensors", ".md"}
    assert not any("*" in name for name in patterns)
    # A text model has a config.json too.
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").write_text(json.dumps({"architectures": ["Bert"]}))
    asked.clear()
    with pytest.raises(GravLensError, match="architectures"):
        LensGenerator.from_pretrained("lensing/rings", device="cpu")
    assert len(asked) == 1


def test_what_is_saved_is_read_again_with_its_distilled_weights(tmp_path: Path) -> None:
    generator = LensGenerator.from_pretrained("lens28", device="cpu")
    assert generator.num_few_steps
    saved = generator.save_pretrained(tmp_path / "saved", license_name="mit")
    again = LensGenerator.from_pretrained(saved, device="cpu")
    assert again.num_few_steps == generator.num_few_steps
    for steps in (1, 4):
        images = [one.sample(2, num_steps=steps).images for one in (generator, again)]
        assert np.array_equal(*images)
    names = {str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()}
    assert {Path(name).suffix for name in names} == {".json", ".safetensors", ".md"}
    with pytest.raises(GravLensError, match="exists and is not empty"):
        generator.save_pretrained(saved)


def test_the_card_has_what_the_hub_reads(tmp_path: Path) -> None:
    LensGenerator(awake()).save_pretrained(tmp_path / "saved", name="a/b", license_name="mit")
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert card.data.library_name == "gravlensdiffusion"
    assert card.data.license == "mit"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert "gravitational-lensing" in card.data.tags
    assert 'from_pretrained("a/b")' in card.text
    assert "theta_E 0.8 to 1.6 arcsec" in card.text


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """Start a hub on this machine, which stands for the one that is asked."""
    own = type("OwnHub", (Hub,), {"made": [], "branches": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), own) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield own
        server.shutdown()
        thread.join()


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_what_is_pushed_is_drawn_from_by_its_name(hub: type[Hub], tmp_path: Path) -> None:
    learned, ordered = LensGenerator(awake(LEARNED)), LensGenerator(awake())
    where = {"cache_dir": tmp_path, "token": TOKEN}
    address = learned.push_to_hub("lensing/rings", private=True, token=TOKEN, license_name="mit")
    assert address.startswith(f"{HOME}/lensing/rings/commit/")
    ordered.push_to_hub("lensing/rings", token=TOKEN, revision="v2")
    assert [each.get("visibility") for each in hub.made] == ["private", None]
    for revision, expected in (("main", learned), ("v2", ordered)):
        files = hub.branches["lensing/rings", revision]
        assert files.keys() == {"model.safetensors", "config.json", "README.md"}
        found = LensGenerator.from_pretrained(f"lensing/rings@{revision}", device="cpu", **where)
        assert np.array_equal(found.sample(2).images, expected.sample(2).images)
    assert b"license: mit" in hub.branches["lensing/rings", "main"]["README.md"]
    with pytest.raises(GravLensError, match="'lensing/none' for us: there is no such repository"):
        LensGenerator.from_pretrained("lensing/none", device="cpu", **where)
    with pytest.raises(
        GravLensError, match="not take 'lensing/rings': it does not know this token"
    ):
        ordered.push_to_hub("lensing/rings", token="wrong")
