"""What the i-th training image draws."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.training_set import TrainingSet, prepare
from gravlensdiffusion.training.batches import Batch, Prefetcher, load_batch, positions
from gravlensdiffusion.training.data import _learned_parameters
from gravlensdiffusion.training.optimiser import learning_rate
from tests.sources import rings, tiny


def test_each_epoch_is_another_shuffle_of_the_whole_set() -> None:
    where = positions(0, np.arange(30), 10).reshape(3, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in where)
    assert len({tuple(epoch) for epoch in where}) == 3
    assert not np.array_equal(positions(1, np.arange(10), 10), where[0])


def test_a_batch_in_two_parts_is_the_same_batch(tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")
    config = tiny()
    counts = np.arange(36, 44)  # across the end of the first epoch of 40
    whole = load_batch(data, config, counts, conditional=True)
    parts = [load_batch(data, config, c, conditional=True) for c in (counts[:3], counts[3:])]
    for name in ("flux", "u", "eps"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(p, name) for p in parts]))
    assert whole.condition is not None
    labels = torch.cat([p.condition.label for p in parts if p.condition])
    assert torch.equal(whole.condition.label, labels)


def test_labels_are_hidden_as_often_as_asked(tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")
    batch = load_batch(data, tiny(label_dropout=0.25), np.arange(4000), conditional=True)
    assert batch.condition is not None
    hidden = (batch.condition.label == UNLABELLED).double().mean().item()
    assert hidden == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
    shown = batch.condition.label != UNLABELLED
    where = positions(0, np.arange(4000), 40)
    assert torch.equal(batch.condition.label[shown], torch.from_numpy(data.labels[where])[shown])


NAMES = ("theta_E", "source_x", "signal_to_noise")


def with_parameters(folder: Path, **changes: object) -> tuple[TrainingSet, Batch, torch.Tensor]:
    """Return a set, 4000 training images of it, and their parameters, shape ``(4000, 3)``."""
    data = prepare(rings(), folder, 8, "area", parameters=NAMES)
    batch = load_batch(data, tiny(parameters=NAMES, **changes), np.arange(4000), conditional=True)
    assert batch.condition is not None
    assert batch.condition.parameters is not None
    return data, batch, batch.condition.parameters


def shares(*events: torch.Tensor) -> float:
    """Return how often all of some events happen."""
    return torch.stack(events).all(0).double().mean().item()


def test_parameters_are_hidden_one_by_one_and_all_at_once(tmp_path: Path) -> None:
    data, batch, values = with_parameters(
        tmp_path, parameter_dropout=0.2, parameters_dropout=0.3, label_dropout=0.25
    )
    hidden = values.isnan()
    none, one, pair, every = (0.7 * 0.2**k for k in range(4))
    for p in range(3):
        assert shares(hidden[:, p]) == pytest.approx(0.3 + one, abs=0.03)
        assert shares(hidden[:, p], hidden[:, p - 1]) == pytest.approx(0.3 + pair, abs=0.03)
    assert shares(hidden.all(1)) == pytest.approx(0.3 + every, abs=0.03)
    assert shares(~hidden.any(1)) == pytest.approx(none * 0.8**3, abs=0.03)
    # A class is hidden whatever becomes of the parameters.
    assert batch.condition is not None
    unlabelled = batch.condition.label == UNLABELLED
    assert shares(unlabelled, hidden.all(1)) == pytest.approx(0.25 * (0.3 + every), abs=0.03)
    # What is shown is what the image has, through the shuffle.
    expected = torch.from_numpy(data.parameters[positions(0, np.arange(4000), 40)])
    assert torch.equal(values[~hidden], expected[~hidden])


@pytest.mark.parametrize(
    ("alone", "together", "share"), [(0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0)]
)
def test_always_and_never_are_meant(
    alone: float, together: float, share: float, tmp_path: Path
) -> None:
    _, _, values = with_parameters(tmp_path, parameter_dropout=alone, parameters_dropout=together)
    assert values.isnan().double().mean().item() == share


def test_what_follows_from_the_others_is_hidden_more_often(tmp_path: Path) -> None:
    never = {"parameter_dropout": 0.0, "parameters_dropout": 0.0}
    _, _, values = with_parameters(tmp_path, derived_dropout=0.5, **never)
    names = list(NAMES)
    share = values.isnan().double().mean(dim=0)
    assert share[names.index("signal_to_noise")].item() == pytest.approx(0.5, abs=0.03)
    assert share.sum() == share[names.index("signal_to_noise")]


def test_parameters_change_nothing_else_of_a_batch(tmp_path: Path) -> None:
    _, batch, _ = with_parameters(tmp_path, parameter_dropout=0.5)
    data = prepare(rings(), tmp_path, 8, "area")
    plain = load_batch(data, tiny(), np.arange(4000), conditional=True)
    for name in ("flux", "u", "eps"):
        assert torch.equal(getattr(plain, name), getattr(batch, name))
    assert plain.condition is not None
    assert batch.condition is not None
    assert torch.equal(plain.condition.label, batch.condition.label)
    assert plain.condition.parameters is None


def test_a_value_that_an_image_lacks_stays_unknown(tmp_path: Path) -> None:
    source = rings()
    source.parameters["source_x"][::2] = np.nan
    data = prepare(source, tmp_path, 8, "area", parameters=("source_x", "theta_E"))
    config = tiny(parameters=("source_x", "theta_E"), parameter_dropout=0.0, parameters_dropout=0.0)
    batch = load_batch(data, config, np.arange(40), conditional=True)
    assert batch.condition is not None
    assert batch.condition.parameters is not None
    lacking = torch.from_numpy(positions(0, np.arange(40), 40) % 2 == 0)
    assert torch.equal(batch.condition.parameters[:, 0].isnan(), lacking)
    assert not batch.condition.parameters[:, 1].isnan().any()


def test_images_and_parameters_are_turned_together(tmp_path: Path) -> None:
    shown = {"parameter_dropout": 0.0, "parameters_dropout": 0.0}
    _, plain, before = with_parameters(tmp_path, **shown)
    _, turned, after = with_parameters(tmp_path, augment="flips", **shown)
    mirrors = {dims: plain.flux.flip(dims) for dims in ((), (-1,), (-2,), (-2, -1))}
    seen = torch.zeros(4000, dtype=torch.long)
    for dims, flux in mirrors.items():
        same = (turned.flux == flux).flatten(1).all(1)
        seen += same
        assert same.double().mean().item() == pytest.approx(0.25, abs=0.03)
        sign = -1 if -1 in dims else 1
        assert torch.equal(after[same, 1], sign * before[same, 1])
    assert (seen == 1).all()
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    assert torch.equal(turned.u, plain.u)
    assert torch.equal(turned.eps, plain.eps)


def test_a_parameter_that_the_set_lacks_is_refused(tmp_path: Path) -> None:
    source = rings()
    with pytest.raises(
        GravLensError, match=r"no parameter 'gamma1'; it has: signal_to_noise, source_x, theta_E"
    ):
        prepare(source, tmp_path, 8, "area", parameters=("theta_E", "gamma1"))
    source.parameters["source_x"][:] = np.nan
    with pytest.raises(GravLensError, match="no parameter 'source_x'"):
        prepare(source, tmp_path, 8, "area", parameters=("source_x",))


def test_ranges_are_those_of_the_set(tmp_path: Path) -> None:
    source = rings()
    source.parameters["source_x"][3] = np.nan
    data = prepare(source, tmp_path, 8, "area", parameters=NAMES)
    theta_E, source_x, signal_to_noise = _learned_parameters(NAMES, source, data)
    radii = source.parameters["theta_E"]
    assert (theta_E.low, theta_E.high) == (radii.min(), radii.max())
    assert (theta_E.unit, theta_E.scale) == ("arcsec", "linear")
    assert source_x.high == np.nanmax(source.parameters["source_x"])
    assert (signal_to_noise.unit, signal_to_noise.scale) == ("", "log")
    alike = replace(source, parameters={"theta_E": np.full(40, 1.5)})
    data = prepare(alike, tmp_path, 8, "area", parameters=("theta_E",))
    with pytest.raises(GravLensError, match=r"'theta_E' is 1\.5 in all training images"):
        _learned_parameters(("theta_E",), alike, data)


def test_ranges_end_where_the_priors_of_a_simulated_set_do(tmp_path: Path) -> None:
    simulated = rings()
    header = replace(simulated.header, config=to_json(simulation_preset("deeplense")))
    theta_E = np.linspace(1.01, 1.64, 40)
    source_x = np.linspace(-0.49, 0.3, 40)
    parameters = {**simulated.parameters, "theta_E": theta_E, "source_x": source_x}
    source = replace(simulated, header=header, parameters=parameters)
    data = prepare(source, tmp_path, 8, "area", parameters=NAMES)
    learned = {each.name: each for each in _learned_parameters(NAMES, source, data)}
    assert (learned["theta_E"].low, learned["theta_E"].high) == (1.0, 1.65)
    # Half of the sources were left out of the set: the model has not seen them.
    assert (learned["source_x"].low, learned["source_x"].high) == (-0.5, 0.3)


def test_stratified_times_fill_every_part_of_the_interval(tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")
    u = load_batch(data, tiny(), np.arange(16, 24), conditional=False).u
    assert sorted(torch.floor(u * 8).int().tolist()) == list(range(8))


def test_noise_is_standard_normal_and_never_repeats(tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")
    eps = load_batch(data, tiny(), np.arange(1000), conditional=False).eps.flatten(1)
    assert eps.mean().abs() < 5 / np.sqrt(eps.numel())
    assert eps.var().item() == pytest.approx(1, abs=5 * np.sqrt(2 / eps.numel()))
    correlation = torch.corrcoef(eps[:50]) - torch.eye(50)
    assert correlation.abs().max() < 6 / np.sqrt(64)


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    config = tiny().optimiser
    assert config.warmup_images == 5000
    assert learning_rate(config, 0, 10**6) < 1e-3 * config.learning_rate
    peak = learning_rate(config, 5000, 10**6)
    assert peak == pytest.approx(config.learning_rate, rel=1e-3)
    assert learning_rate(config, 500_000, 10**6) == pytest.approx(config.learning_rate / 2)
    assert learning_rate(config, 10**6, 10**6) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("num_ahead", [0, 1, 3])
def test_batches_assembled_ahead_are_those_of_their_place(num_ahead: int, tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")

    def draw(first: int) -> Batch:
        return load_batch(data, tiny(), np.arange(first, first + 8), conditional=True)

    ahead = Prefetcher(draw, 8, num_ahead)
    for first in range(16, 72, 8):
        taken, drawn = ahead.take(first), draw(first)
        assert torch.equal(taken.flux, drawn.flux)
        assert torch.equal(taken.eps, drawn.eps)
        assert torch.equal(taken.u, drawn.u)
    ahead.close()


def test_batches_are_assembled_in_other_threads_before_they_are_asked_for() -> None:
    drawn: dict[int, threading.Thread] = {}
    third_begun = threading.Event()

    def draw(first: int) -> Batch:
        drawn[first] = threading.current_thread()
        if first == 20:
            third_begun.set()
        if first == 30:
            raise ValueError("torn file")
        nothing = torch.empty(0)
        return Batch(nothing, nothing, nothing, None)

    ahead = Prefetcher(draw, 10, 2)
    ahead.take(0)
    assert third_begun.wait(10)
    assert threading.main_thread() not in drawn.values()
    # What went wrong ahead is told when its turn comes, and each batch is drawn once.
    ahead.take(10)
    ahead.take(20)
    with pytest.raises(ValueError, match="torn file"):
        ahead.take(30)
    ahead.close()
    assert not any(thread.is_alive() for thread in drawn.values())
