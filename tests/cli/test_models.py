import json

import pytest

from gravlensdiffusion.cli import models
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.folders import bundled_models, find_model


@pytest.fixture
def folder(tmp_path):
    config = ModelConfig(
        image_size=28,
        class_names=("no_sub", "cdm"),
        pixel_scale_arcsec=0.2679,
        flux_unit="peak",
        training_data="10,000 images of preset deeplense, seed 1",
    )
    folder = tmp_path / "lens28"
    folder.mkdir()
    (folder / "config.json").write_text(to_json(config))
    (folder / "model.safetensors").write_bytes(bytes(3_400_000))
    return folder


def test_description_holds_size_resolution_classes_and_training_data(folder):
    text = models._describe(folder, "lens28")
    assert text.splitlines()[0] == "lens28"
    assert "28 x 28 pixels of 0.2679 arcsec, in units of peak" in text
    assert "no_sub, cdm" in text
    assert "3.4 MB" in text
    assert "10,000 images of preset deeplense, seed 1" in text


def test_distilled_weights_are_counted_and_named(folder):
    sampling = SamplingConfig(sampler="consistency", num_steps=2, few_steps=(1, 2), levels=(1.0,))
    (folder / "few_steps").mkdir()
    (folder / "few_steps" / "config.json").write_text(to_json(ModelConfig(sampling=sampling)))
    (folder / "few_steps" / "model.safetensors").write_bytes(bytes(3_400_000))
    text = models._describe(folder, "lens28")
    assert "dpmpp, 20 steps, distilled for 1, 2" in text
    assert "draft 20, standard 20, best 20 steps" in text
    assert "6.8 MB" in text


def test_damaged_configuration_is_named(folder):
    (folder / "config.json").write_text('{"image_size": 28, "colour": "red"}')
    with pytest.raises(GravLensError, match=r"lens28/config.json: colour"):
        models._describe(folder, "lens28")


def test_a_card_says_what_its_model_is_for(folder):
    (folder / "README.md").write_text(
        "# `lens28`\n\nLenses.\n\nTake it for small\nimages of 1.5 pixels.\n\nMore.\n"
    )
    assert "  for:        small images of 1.5 pixels\n" in models._describe(folder, "mine") + "\n"
    assert models._describe(folder, "mine").startswith("mine\n")


def test_every_bundled_model_says_what_it_is_for_and_what_it_is(run_gravlens):
    for name in bundled_models():
        assert models._read_use(find_model(name))
    done = run_gravlens("models", "lens64", "--json")
    found = json.loads(done.stdout)
    assert found["name"] == "lens64"
    assert found["image_shape"] == [1, 64, 64]
    assert found["parameters"]["theta_E"] == {"range": [1.0, 1.65], "unit": "arcsec"}
    listed = [
        json.loads(line)["name"] for line in run_gravlens("models", "--json").stdout.splitlines()
    ]
    assert set(listed) == set(bundled_models())
    assert listed.index("lens64") < listed.index("lens150")
    refused = run_gravlens("models", "lens65")
    assert refused.returncode == 2
    assert "no model 'lens65'" in refused.stderr
