"""``gravlens sample`` whose lenses are ordered: parameters, ranges, tables, depth and units."""

import numpy as np
import pytest

from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.store.reader import LensStore
from tests.cli.sampling import assert_refused, num_frames, sample


def draw(ordered, out, *words, num=4):
    """Draw images and return pixels, twins or None, and parameters as the file has them."""
    asked = words if num is None else ("--num", num, *words)
    assert sample(ordered, out, *asked) == 0
    with LensStore(out / "lenses.h5") as store:
        indices = range(len(store))
        twins = store.read_noise_free(indices) if store.has_noise_free else None
        parameters = {name: values[:] for name, values in store.parameters.items()}
        return store.read(indices), twins, parameters | {"label": store.labels[:]}


def test_order_is_stored_and_is_what_python_gets(ordered, tmp_path):
    images, _, values = draw(
        ordered, tmp_path, "--theta-E", 1.2, "--source-x", -0.25, "--label", "cdm,axion"
    )
    assert values["theta_E"].tolist() == [1.2] * 4
    assert values["source_x"].tolist() == [-0.25] * 4
    assert np.isnan(values["signal_to_noise"]).all()
    assert values["background_rms"].tolist() == [0.1] * 4
    assert values["label"].tolist() == [1, 2, 1, 2]
    expected = LensGenerator.from_pretrained(ordered).sample(
        4, label=["cdm", "axion"], parameters={"theta_E": 1.2, "source_x": -0.25}
    )
    np.testing.assert_array_equal(images, expected.images)


def test_range_spreads_values(ordered, tmp_path):
    _, _, values = draw(ordered, tmp_path, "--theta-E", "1.0:1.4", num=40)
    drawn = values["theta_E"]
    assert drawn.min() >= 1.0
    assert drawn.max() <= 1.4
    assert len(set(drawn)) == 40
    assert drawn.std() == pytest.approx(0.4 / 12**0.5, rel=0.25)
    # The rest is drawn, too.
    assert len(set(values["source_x"])) > 1


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("-0.2:0.1", -0.2, 0.1),
        ("-0.3:-0.1", -0.3, -0.1),
        ("-.2", -0.2, -0.2),
        ("-1e-3", -0.001, -0.001),
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_values_below_zero_are_values_and_no_flags(ordered, tmp_path, text, low, high, joined):
    words = [f"--source-x={text}"] if joined else ["--source-x", text]
    _, _, values = draw(ordered, tmp_path, *words)
    drawn = values["source_x"]
    assert low <= drawn.min() <= drawn.max() <= high
    assert (np.ptp(drawn) > 0) == (high > low)


def test_nothing_ordered_is_spread_as_training_lenses(ordered, tmp_path):
    _, _, values = draw(ordered, tmp_path, "--label", "cdm")
    assert set(values["theta_E"]) <= {1.0, 1.25, 1.375}
    assert np.isfinite(values["source_x"]).all()


def test_conditions_make_one_image_a_row(ordered, tmp_path, capsys):
    table = tmp_path / "order.csv"
    table.write_text("theta_E,label\n1.25,axion\n,cdm\n0.9,any\n")
    out = tmp_path / "out"
    images, _, values = draw(ordered, out, "--conditions", table, "--batch-size", 2, num=None)
    assert len(images) == 3
    assert "wrote 3 images" in capsys.readouterr().out
    assert values["label"].tolist() == [2, 1, -1]
    assert values["theta_E"][[0, 2]].tolist() == [1.25, 0.9]
    # What a row leaves out is drawn from values of training lenses.
    assert values["theta_E"][1] in {1.0, 1.25, 1.375}
    assert np.isfinite(values["source_x"]).all()


def test_depth_is_ordered(ordered, tmp_path):
    asked = ("--noise-free", "--signal-to-noise", 20)
    plain, plain_twins, plain_values = draw(ordered, tmp_path / "plain", *asked)
    words = (*asked, "--exposure", 200, "--sky-rms", 0.5)
    deep, deep_twins, values = draw(ordered, tmp_path / "deep", *words)
    np.testing.assert_array_equal(plain_twins, deep_twins)
    assert plain_twins.min() >= 0
    assert (plain - plain_twins).std() == pytest.approx(0.1, rel=0.2)
    assert (deep - deep_twins).std() == pytest.approx(0.5, rel=0.2)
    assert values["background_rms"].tolist() == [0.5] * 4
    assert values["exposure_time"].tolist() == [200.0] * 4
    assert np.isnan(values["signal_to_noise"]).all()
    assert np.isfinite(plain_values["signal_to_noise"]).all()
    _, twins, _ = draw(ordered, tmp_path / "noisy")
    assert twins is None


def test_sky_of_nothing_is_the_lens_itself(ordered, tmp_path):
    images, twins, _ = draw(ordered, tmp_path, "--noise-free", "--sky-rms", 0)
    np.testing.assert_array_equal(images, twins)


def test_peak_is_asked_for(ordered, tmp_path):
    images, twins, _ = draw(ordered, tmp_path, "--flux-unit", "peak", "--noise-free")
    np.testing.assert_array_equal(images.min(axis=(1, 2, 3)), 0)
    np.testing.assert_array_equal(images.max(axis=(1, 2, 3)), 1)
    with LensStore(tmp_path / "lenses.h5") as store:
        assert store.header.flux_unit == "peak"
    expected = LensGenerator.from_pretrained(ordered).sample(4, flux_unit="peak")
    np.testing.assert_array_equal(images, expected.images)
    np.testing.assert_array_equal(twins, expected.noise_free)


@pytest.mark.parametrize("steps", [3, 30])
def test_gif_of_ordered_lenses_changes_no_image(ordered, tmp_path, steps):
    words = ("--theta-E", 1.2, "--steps", steps, "--noise-free", "--batch-size", 3)
    plain, plain_twins, _ = draw(ordered, tmp_path / "plain", *words)
    moving, twins, _ = draw(ordered, tmp_path / "moving", *words, "--gif")
    np.testing.assert_array_equal(plain, moving)
    np.testing.assert_array_equal(plain_twins, twins)
    assert num_frames(tmp_path / "moving" / "denoising.gif") == 31


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--theta-E", "2"],
            "theta_E 2 is outside what model 'ordered' has learned, 0.8 to 1.6 arcsec",
        ),
        (["--theta-E", "1:2"], "theta_E 2 is outside"),
        (["--source-x", "-0.6:0.1"], "source_x -0.6 is outside"),
        (["--theta-E", "1.4:1.0"], "--theta-E: the range '1.4:1.0' ends below its start"),
        (["--theta-E", "big"], "--theta-E: 'big' is neither a number nor a range like 1.0:1.4"),
        (["--source-x", "-0.1:x"], "--source-x: '-0.1:x' is neither a number"),
        (["--theta-E"], "--theta-E needs a value"),
        (["--gamma1", "0.1"], "no parameter 'gamma1'; it has: theta_E, source_x, signal_to_noise"),
        (["--exposure", "0"], "--exposure must lie between 0.001 and 1e+100, got 0.0"),
        (["--exposure", "-5"], "--exposure must lie between 0.001 and 1e+100, got -5.0"),
        (["--exposure", "inf"], "--exposure must lie between 0.001 and 1e+100, got inf"),
        (["--sky-rms", "-1"], "--sky-rms must not be negative, got -1.0"),
        (["--sky-rms", "nan"], "--sky-rms must not be negative, got nan"),
        (["--flux-unit", "jy"], "--flux-unit: 'jy' is not one of"),
        (["--noise-free", "--format", "npy"], "--noise-free writes to lenses.h5"),
        (["--conditions", "none.csv"], "none.csv: No such file"),
    ],
)
def test_order_that_cannot_be_is_one_line(ordered, tmp_path, capsys, words, message):
    assert_refused(ordered, tmp_path, capsys, words, message)


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--num", "3"], "--num"),
        (["--label", "cdm"], "--label"),
        (["--theta-E", "1.2"], "--theta-E"),
        (["--signal-to-noise", "9"], "--signal-to-noise"),
    ],
)
def test_conditions_leave_nothing_to_other_flags(ordered, tmp_path, capsys, words, flag):
    words = ["--conditions", "order.csv", *words]
    message = f"--conditions says all about each image, so leave out {flag} "
    assert_refused(ordered, tmp_path, capsys, words, message.strip())
