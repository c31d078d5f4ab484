"""The study of averages and guidance: averages of any length from snapshots of two."""

import numpy as np
import pytest
import torch
from torch import nn

NUM_STEPS, BATCH = 400, 8


@pytest.mark.parametrize("length", [0.05, 0.10, 0.25])
def test_the_exponent_is_that_of_the_profile_s_standard_deviation(length: float) -> None:
    from guidance import exponent

    gamma = exponent(length)
    mean = (gamma + 1) / (gamma + 2)
    assert (gamma + 1) / (gamma + 3) - mean**2 == pytest.approx(length**2)


def test_products_of_profiles_are_their_integrals() -> None:
    from guidance import product

    tau = np.linspace(0, 3, 300_001)

    def profile(t: float, gamma: float) -> np.ndarray:
        return (gamma + 1) / t * (tau / t) ** gamma * (tau <= t)

    for t, gamma, s, delta in ((2.0, 7.0, 3.0, 17.0), (3.0, 7.0, 2.0, 17.0), (3.0, 2.0, 3.0, 7.0)):
        expected = np.trapezoid(profile(t, gamma) * profile(s, delta), tau)
        found = product(*map(np.array, (t, gamma, s, delta)))
        assert found == pytest.approx(expected, rel=1e-3)


def drifting(step: int) -> nn.Linear:
    """Return a model whose weights come to rest, with jitter."""
    jitter = torch.randn(6, 6, generator=torch.Generator().manual_seed(step))
    model = nn.Linear(6, 6, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.linspace(1, 2, 36).reshape(6, 6) * (1 - np.exp(-step / 100)))
        model.weight.add_(0.02 * jitter)
    return model


@pytest.mark.parametrize(
    ("length", "tolerance"), [(0.05, 1e-6), (0.10, 1e-6), (0.07, 2e-3), (0.15, 2e-3)]
)
def test_a_mixed_average_is_the_one_that_was_kept_all_along(
    length: float, tolerance: float
) -> None:
    from guidance import KEPT, NUM_SNAPSHOTS, PowerAverage, exponent, shares

    kept = [PowerAverage(drifting(0), each) for each in (*KEPT, length)]
    snapshots = []
    for step in range(1, NUM_STEPS + 1):
        for average in kept:
            average.update(drifting(step), step * BATCH, BATCH)
        if step % (NUM_STEPS // NUM_SNAPSHOTS) == 0:
            for average in kept[:2]:
                state = average.state["weight"].clone()
                snapshots.append((float(step * BATCH), average.gamma, state))
    t, gamma = (np.array([each[k] for each in snapshots]) for k in (0, 1))
    found = shares(t, gamma, exponent(length))
    assert found.sum() == pytest.approx(1)
    mixed = sum(share * each[2] for share, each in zip(found, snapshots, strict=True))
    wanted = kept[2].state["weight"]
    assert (mixed - wanted).abs().max() < tolerance * wanted.abs().max()
