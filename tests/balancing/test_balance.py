"""Filling up classes: what is kept, what is made, and what the file says about it."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.balancing.balance import CLASS_STRIDE, balance
from gravlensdiffusion.balancing.settings import BalanceSettings
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import fingerprint
from gravlensdiffusion.sets.records import GENERATED, FilledClass
from gravlensdiffusion.store.reader import LensStore, validate_store
from tests.balancing.sets import HEADER, LABELS, save_set, tiny
from tests.models import LEARNED

ATTRIBUTES = ("schema_version", "pixel_scale_arcsec", "flux_unit", "preset", "config", "seed")


@pytest.fixture
def source(tmp_path: Path) -> LensStore:
    return save_set(tmp_path / "set.h5")


def made_of(path: Path, label: int) -> np.ndarray:
    """Return the generated images of a class."""
    with LensStore(path) as store:
        return store.read(np.flatnonzero(store.is_generated & (store.labels == label)))


@pytest.mark.parametrize("has_twins", [False, True])
def test_originals_come_first_bit_for_bit(tmp_path: Path, has_twins: bool) -> None:
    source = save_set(tmp_path / "set.h5", has_twins=has_twins)
    # A NaN of another making is kept as it is, too.
    with h5py.File(source.path, "r+") as file:
        values = file["parameters/axion_mass"][:]
        values[3] = np.array([0x7FF8000000000123], np.uint64).view(np.float64)[0]
        file["parameters/axion_mass"][:] = values
    balance(source, tiny(), tmp_path / "out.h5")
    names = ["images", "labels", "parameters/theta_E", "parameters/axion_mass"]
    with h5py.File(source.path) as old, h5py.File(tmp_path / "out.h5") as new:
        for name in names + ["images_noise_free"] * has_twins:
            assert new[name][: len(LABELS)].tobytes() == old[name][:].tobytes(), name
            assert new[name].dtype == old[name].dtype
        assert new["subhaloes"][:].tobytes() == old["subhaloes"][:].tobytes()
        assert [new.attrs[name] for name in ATTRIBUTES] == [old.attrs[name] for name in ATTRIBUTES]
        assert ("images_noise_free" in new) == has_twins
    validate_store(tmp_path / "out.h5")


def test_every_class_reaches_the_largest(source: LensStore, tmp_path: Path) -> None:
    done = balance(source, tiny(), tmp_path / "out.h5")
    assert done.made == {"axion": 3, "cdm": 2, "no_sub": 0}
    assert (done.num_kept, done.num_made_before) == (len(LABELS), 0)
    with LensStore(tmp_path / "out.h5") as store:
        assert store.class_counts == {"axion": 4, "cdm": 4, "no_sub": 4}
        assert store.labels.tolist() == [*LABELS, 0, 0, 0, 1, 1]


def test_flags_and_header_say_what_is_generated_and_how(source: LensStore, tmp_path: Path) -> None:
    generator = tiny()
    settings = BalanceSettings(seed=7, num_steps=2, guidance=2.0)
    balance(source, generator, tmp_path / "out.h5", settings=settings)
    with LensStore(tmp_path / "out.h5") as store:
        assert store.parameters[GENERATED].tolist() == [0.0] * 8 + [1.0] * 5
        assert store.header.parameter_units[GENERATED] == ""
        assert store.is_generated.sum() == 5
        (filling,) = store.header.fillings
        assert (filling.model, filling.seed, filling.sampler) == ("tiny", 7, "dpmpp")
        assert (filling.num_steps, filling.guidance, filling.num) == (2, 2.0, 5)
        assert filling.weights == fingerprint(generator.model)
        assert filling.classes[0] == FilledClass(name="axion", first=0, num=3)
        assert store.notes == ("filled up by model tiny, seed 7: axion 3, cdm 2",)


def test_images_are_those_of_the_model(source: LensStore, tmp_path: Path) -> None:
    generator = tiny()
    balance(source, generator, tmp_path / "out.h5", settings=BalanceSettings(seed=2))
    # axion is the third class of the model.
    request = generator.request(3, label="axion", first=3 * CLASS_STRIDE, seed=2)
    flux = generator.to_flux(list(generator.trajectory(request))[-1].x_t)
    # The noise of the sky has an rms of 0.1.
    assert np.abs(made_of(tmp_path / "out.h5", 0) - np.maximum(flux, 0)).max() < 0.5
    assert np.abs(flux).max() > 1
    with LensStore(tmp_path / "out.h5") as store:
        asked = store.parameters["theta_E"][8:11]
        assert np.array_equal(asked, request.parameters[:, 0])
        assert np.isnan(store.parameters["axion_mass"][8:]).all()
        assert np.isnan(store.parameters["source_x"][:8]).all()
        assert (store.parameters["background_rms"][8:] == 0.1).all()


def test_a_class_without_images_is_filled_where_it_is_asked_for(tmp_path: Path) -> None:
    source = save_set(tmp_path / "set.h5", [2, 2, 1])
    assert balance(source, tiny(), tmp_path / "a.h5").made == {"axion": 0, "cdm": 1, "no_sub": 0}
    done = balance(source, tiny(), tmp_path / "b.h5", targets={"axion": 2, "cdm": 2})
    assert done.made == {"axion": 2, "cdm": 1, "no_sub": 0}


def test_per_class_takes_nothing_away(source: LensStore, tmp_path: Path) -> None:
    done = balance(source, tiny(), tmp_path / "out.h5", targets=2)
    assert done.made == {"axion": 1, "cdm": 0, "no_sub": 0}
    with LensStore(tmp_path / "out.h5") as store:
        assert store.class_counts == {"axion": 2, "cdm": 2, "no_sub": 4}


def test_a_balanced_set_comes_out_as_it_is_with_flags(tmp_path: Path) -> None:
    source = save_set(tmp_path / "set.h5", [0, 1, 2])
    done = balance(source, tiny(), tmp_path / "out.h5")
    assert sum(done.made.values()) == 0
    with LensStore(tmp_path / "out.h5") as store:
        assert store.parameters[GENERATED].tolist() == [0, 0, 0]
        assert store.header == replace(
            HEADER, parameter_units={**HEADER.parameter_units, GENERATED: ""}
        )


def test_a_class_gets_the_same_images_whatever_the_others_lack(tmp_path: Path) -> None:
    lacking = save_set(tmp_path / "a.h5", [2, 2, 1])
    balance(lacking, tiny(), tmp_path / "one.h5", targets=dict.fromkeys(HEADER.class_names, 2))
    balance(save_set(tmp_path / "b.h5", [2, 2, 2, 1, 1, 0]), tiny(), tmp_path / "two.h5")
    one, two = made_of(tmp_path / "one.h5", 0), made_of(tmp_path / "two.h5", 0)
    assert len(one) == len(two) == 2
    assert np.array_equal(one, two)
    assert not np.array_equal(one[0], one[1])
    assert np.array_equal(made_of(tmp_path / "one.h5", 1), made_of(tmp_path / "two.h5", 1))


def test_filling_up_again_keeps_flags_and_repeats_no_image(
    source: LensStore, tmp_path: Path
) -> None:
    balance(source, tiny(), tmp_path / "once.h5", targets=4)
    once = LensStore(tmp_path / "once.h5")
    done = balance(once, tiny(), tmp_path / "twice.h5", targets=6)
    assert (done.num_kept, done.num_made_before) == (13, 5)
    direct = tmp_path / "direct.h5"
    balance(source, tiny(), direct, targets=6)
    with LensStore(tmp_path / "twice.h5") as store:
        assert store.parameters[GENERATED].tolist() == [0] * 8 + [1] * 5 + [1] * 6
        assert [each.num for each in store.header.fillings] == [5, 6]
        assert [each.first for each in store.header.fillings[1].classes] == [3, 2, 0]
    for label in range(3):
        twice = made_of(tmp_path / "twice.h5", label)
        # The seed gives what it would have given at once.
        np.testing.assert_allclose(twice, made_of(direct, label), atol=1e-4)
        assert len(np.unique(twice.reshape(len(twice), -1), axis=0)) == len(twice)


def test_a_plan_draws_and_writes_nothing(source: LensStore, tmp_path: Path) -> None:
    plan = balance(source, tiny(), tmp_path / "out.h5", targets={"axion": 9}, dry_run=True)
    assert plan.made == {"axion": 8, "cdm": 0, "no_sub": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["set.h5"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"wdm": 3}, "the set has no class 'wdm'; it has: axion, cdm, no_sub"),
        ({"cdm": -1}, "class 'cdm' cannot be filled up to -1 images"),
    ],
)
def test_targets_that_cannot_be(
    source: LensStore, tmp_path: Path, targets: dict[str, int], message: str
) -> None:
    with pytest.raises(GravLensError, match=message):
        balance(source, tiny(), tmp_path / "out.h5", targets=targets)


@pytest.mark.parametrize("data", ["set/s.h5", "set"])
def test_a_set_is_not_written_over_nor_into(tmp_path: Path, data: str) -> None:
    (tmp_path / "set").mkdir()
    before = save_set(tmp_path / "set" / "s.h5").path.read_bytes()
    with pytest.raises(GravLensError, match="is part of what is read, or holds it"):
        balance(str(tmp_path / data), tiny(), tmp_path / "set" / "s.h5", overwrite=True)
    assert (tmp_path / "set" / "s.h5").read_bytes() == before


def test_a_set_without_classes_is_refused(tmp_path: Path) -> None:
    source = save_set(tmp_path / "set.h5", [-1, -1], class_names=())
    with pytest.raises(GravLensError, match="has no classes"):
        balance(source, tiny(), tmp_path / "out.h5")


def test_a_model_of_learned_noise_and_few_parameters_will_do(
    source: LensStore, tmp_path: Path
) -> None:
    balance(source, tiny(LEARNED), tmp_path / "out.h5")
    with LensStore(tmp_path / "out.h5") as store:
        assert set(store.parameters) == {"theta_E", "axion_mass", GENERATED}
        assert np.isnan(store.parameters["theta_E"][8:]).all()


def test_settings_out_of_range_are_refused() -> None:
    for settings, message in (
        ({"seed": -1}, "`seed` must lie between 0 and 2"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        (
            {"guidance": float("nan")},
            "`guidance` must lie between 0 and 10, beyond which no lenses",
        ),
    ):
        with pytest.raises(GravLensError, match=message):
            BalanceSettings(**settings)
