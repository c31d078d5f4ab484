"""FID and KID rows, on random weights: the numbers mean nothing, the way to them is the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation import inception as module
from gravlensdiffusion.evaluation.inception import inception_rows
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.metrics.inception import FIDInception
from tests.evaluation.sets import opened, records

SETTINGS = EvaluationSettings(protocol="reference", num_seeds=2)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return [
        opened(folder / f"{name}.h5", records(6, 10 * k))
        for k, name in enumerate(("generated", "reference", "second"))
    ]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(FIDInception().state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "MAX_PLANTED", 2)


def test_rows_come_with_floor_warning_and_hash(sets, weights):
    told = []
    rows, facts = inception_rows(sets, SETTINGS, weights, told.append)
    fid, kid = rows
    assert fid.value is not None
    assert fid.value > 0
    assert fid.floor is not None
    assert "fewer images than the 2048 features" in fid.note
    assert "95% interval" in kid.note
    assert "not the public" in fid.note or "differ" in fid.note or "hash" in fid.note
    assert not facts["weights_are_public"]
    assert len(facts["weights_sha256"]) == 64
    assert told == ["Inception features of 18 images, about 0 min of one core"]


def test_the_reference_protocol_sees_8_bit_images_of_28_pixels(sets, weights, monkeypatch):
    seen = []

    def features(network, images):
        seen.append(images)
        return np.random.default_rng(0).normal(size=(len(images), 2048)).astype(np.float32)

    monkeypatch.setattr(module.inception, "inception_features", features)
    inception_rows(sets, SETTINGS, weights, lambda _: None)
    for images in seen[:3]:
        assert images.shape[1:] == (1, 28, 28)
        np.testing.assert_allclose(images * 255, np.round(images * 255), atol=1e-4)


def test_out_of_reach_weights_leave_rows_that_say_why(sets, monkeypatch):
    def nowhere(path):
        raise GravLensError("there is no network")

    monkeypatch.setattr(module, "find_inception_weights", nowhere)
    rows, _ = inception_rows(sets, SETTINGS, None, lambda _: None)
    assert [row.name for row in rows] == ["FID", "KID"]
    for row in rows:
        assert row.value is None
        assert row.note == "not computed: there is no network"


def test_weights_that_were_named_and_are_none_stop_the_evaluation(sets, tmp_path):
    (tmp_path / "text.pth").write_text("these are no weights")
    with pytest.raises(GravLensError, match=r"text\.pth"):
        inception_rows(sets, SETTINGS, tmp_path / "text.pth", lambda _: None)


def test_none_leaves_them_out(sets):
    settings = replace(SETTINGS, protocol="none")
    rows, facts = inception_rows(sets, settings, None, lambda _: None)
    assert all("not asked for" in row.note for row in rows)
    assert facts["protocol"] == "none"
