"""The public names, each in one line, as they are typed in a notebook."""

import numpy as np
import pytest

import gravlensdiffusion as gl
from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.evaluation.result import EvaluationSettings
from tests.sources import tiny

QUICK = EvaluationSettings(protocol="none", pixel_test=False, num_seeds=2)


def test_from_a_simulation_to_a_report(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    gl.write_store(tmp_path / "lenses.h5", gl.simulate("deeplense", 60, size=28))
    lenses = gl.open_set(tmp_path / "lenses.h5")
    assert np.array_equal(lenses.read([7]), gl.simulate("deeplense", 60, size=28).read([7]))

    progress = gl.train(tiny(size=28, total_images=64), lenses, tmp_path / "run", device="cpu")
    assert progress.images_seen == 64
    generator = gl.LensGenerator.from_pretrained(tmp_path / "run", device="cpu")
    samples = generator.sample(12, sampler="dpmpp", num_steps=2)
    assert samples.shape == (12, 1, 28, 28)

    report = gl.evaluate(samples, tmp_path / "lenses.h5", settings=QUICK)
    assert "lens Frechet distance" in str(report).replace("é", "e")
    assert "lenses.h5" in str(report)
    assert repr(report).startswith("Evaluation(12 generated images against ")

    done = gl.balance(lenses.select(range(31)), generator, tmp_path / "more.h5", targets=12)
    filled = gl.open_set(tmp_path / "more.h5")
    assert all(num >= 12 for num in filled.class_counts.values())
    assert filled.is_generated.sum() == done.filling.num > 0

    recipe = ClassifierTraining(total_images=128, batch_size=16, check_images=64)
    classifier = gl.LensClassifier(recipe, device="cpu").fit(tmp_path / "more.h5")
    assert set(classifier.predict(samples)) <= set(lenses.header.class_names)
    assert 0 <= classifier.score(gl.simulate("deeplense", 30, seed=1, size=28)).scores.auc <= 1


def test_what_is_trained_must_be_said(tmp_path):
    lenses = gl.simulate("deeplense", 3, size=28)
    with pytest.raises(gl.GravLensError, match="`recipe` names what is trained"):
        gl.train(None, lenses, tmp_path / "run")
    with pytest.raises(gl.GravLensError, match="unknown preset 'lens29'; choose from cutouts28, "):
        gl.train("lens29", lenses, tmp_path / "run")
    assert not (tmp_path / "run").exists()
