import numpy as np
import pytest

from gravlensdiffusion.evaluation.conditioning import class_pairs, requested
from gravlensdiffusion.evaluation.measure import Measurements

NAMES = ("no_sub", "cdm")


def measured(logits=None, **estimates):
    num = len(next(iter(estimates.values()))) if logits is None else len(logits)
    return Measurements(
        physics={},
        profiles={},
        features=np.zeros((num, 2)),
        estimates=estimates,
        logits=np.zeros((num, 2)) if logits is None else logits,
    )


def test_class_pairs_compare_areas_under_the_curve():
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    # A distance of 2 between unit normals has an area of Phi(sqrt 2); of 1, Phi(1 / sqrt 2).
    far = np.stack([np.zeros(4000), rng.normal(2.0 * labels)], axis=1)
    near = np.stack([np.zeros(4000), rng.normal(1.0 * labels)], axis=1)
    (pair,) = class_pairs(measured(near), labels, measured(far), labels, NAMES)
    assert pair.names == NAMES
    assert pair.generated == pytest.approx(0.760, abs=0.025)
    assert pair.real == pytest.approx(0.921, abs=0.015)
    assert pair.kept == pytest.approx(0.260 / 0.421, abs=0.07)


def test_classes_without_images_are_left_out():
    labels = np.zeros(100, dtype=int)
    assert (
        class_pairs(
            measured(np.zeros((100, 2))), labels, measured(np.zeros((9, 2))), labels[:9], NAMES
        )
        == []
    )


def test_requested_parameters_have_bias_and_scatter():
    rng = np.random.default_rng(0)
    asked = rng.uniform(1.0, 1.6, 2000)
    asked[::10] = np.nan
    generated = measured(theta_E=np.nan_to_num(asked) + rng.normal(0.05, 0.02, 2000))
    true = rng.uniform(1.0, 1.6, 500)
    real = measured(theta_E=true + rng.normal(0.0, 0.01, 500))
    (found,) = requested(generated, {"theta_E": asked}, real, {"theta_E": true})
    assert found.num == 1800
    assert found.bias == pytest.approx(0.05, abs=0.002)
    assert found.scatter == pytest.approx(0.02, rel=0.1)
    assert found.encoder_bias == pytest.approx(0.0, abs=0.002)
    assert found.encoder_scatter == pytest.approx(0.01, rel=0.2)


def test_logarithms_are_compared_with_the_logarithm_of_what_was_asked():
    generated = measured(log_signal_to_noise=np.full(50, 2.0))
    (found,) = requested(generated, {"signal_to_noise": np.full(50, 100.0)}, generated, {})
    assert found.bias == pytest.approx(0.0, abs=1e-12)
    assert found.encoder_scatter is None


def test_nothing_asked_is_nothing_compared():
    assert requested(measured(theta_E=np.ones(5)), {}, measured(theta_E=np.ones(5)), {}) == []
