import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from PIL import Image

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.config.model import (
    DenoiserConfig,
    ModelConfig,
    SamplingConfig,
    ScheduleConfig,
)
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.saving import kept_steps
from gravlensdiffusion.model.build import build_model
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.store.reader import LensStore
from tests.cli.sampling import assert_refused, num_frames, sample

CONFIG = ModelConfig(
    image_size=8,
    class_names=("no_sub", "cdm"),
    pixel_scale_arcsec=0.25,
    flux_unit="e-/s",
    schedule=ScheduleConfig(kind="log_snr"),
    denoiser=DenoiserConfig(prediction="preconditioned"),
    network=UNetConfig(channels=(8,), attention_levels=(), embedding_dim=8),
    sampling=SamplingConfig(sampler="dpmpp", num_steps=4),
)
CONFIG = replace(CONFIG, transform=replace(CONFIG.transform, gain=1.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Return the folder of a model with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, build_model(CONFIG))
    return folder


def test_file_holds_what_python_gets(model, tmp_path, capsys):
    assert sample(model, tmp_path / "a", "--num", 5, "--seed", 3, "--batch-size", 2) == 0
    expected = LensGenerator.from_pretrained(model).sample(5, seed=3, batch_size=2)
    with LensStore(tmp_path / "a" / "lenses.h5") as store:
        np.testing.assert_array_equal(store.read(range(5)), expected.images)
        assert store.labels.tolist() == [0, 1, 0, 1, 0]
        assert store.header.class_names == ("no_sub", "cdm")
        assert store.header.pixel_scale_arcsec == 0.25
        assert store.header.seed == 3
    assert capsys.readouterr().out == (
        f"wrote 5 images of tiny to {tmp_path / 'a'}: lenses.h5, grid.png\n"
    )


@pytest.mark.parametrize("words", [("--steps", 30), ("--steps", 2)])
def test_pictures_that_cannot_be_drawn_cost_no_images(model, tmp_path, capsys, monkeypatch, words):
    assert sample(model, tmp_path / "a", "--num", 3, "--batch-size", 2, *words) == 0
    capsys.readouterr()

    def fail(frames, *_: object, **__: object) -> None:
        next(iter(frames))
        raise ZeroDivisionError("no ink")

    monkeypatch.setattr("gravlensdiffusion.generation.saving.save_grid", fail)
    monkeypatch.setattr("gravlensdiffusion.generation.saving.save_gif", fail)
    out = tmp_path / "b"
    assert sample(model, out, "--num", 3, "--batch-size", 2, "--gif", *words) == 0
    told = capsys.readouterr()
    assert told.out == f"wrote 3 images of tiny to {out}: lenses.h5\n"
    assert told.err.splitlines() == [
        f"gravlens: {name} was not drawn: ZeroDivisionError: no ink"
        for name in ("denoising.gif", "grid.png")
    ]
    with LensStore(out / "lenses.h5") as found, LensStore(tmp_path / "a" / "lenses.h5") as whole:
        np.testing.assert_array_equal(found.read(range(3)), whole.read(range(3)))


@pytest.mark.parametrize("formats", ["h5", "npy", "fits", "png", "h5,npy,fits,png"])
def test_what_is_written_is_read_by_every_command(model, tmp_path, capsys, formats):
    out, words = tmp_path / "my_lenses", ("--num", 20, "--format", formats)
    assert sample(model, out, *words, "--gif") == 0
    assert sample(model, out, *words, "--overwrite") == 0
    assert "denoising.gif" not in {path.name for path in out.iterdir()}
    told = {
        "inspect": (out, "--out", out / "preview.png"),
        "balance": (out, "--model", model, "--out", tmp_path / "b.h5", "--dry-run"),
        "classify train": (out, "--out", tmp_path / "c", "--dry-run"),
    }
    for command, given in told.items():
        capsys.readouterr()
        status = main([*command.split(), *map(str, given)])
        said = capsys.readouterr()
        if formats == "npy" and command != "inspect":
            # Such files tell no class.
            assert status == 2
            assert "class" in said.err
        else:
            assert status == 0, said.err
    from gravlensdiffusion.cli.evaluate import Options, _open_sets

    assert (
        len(_open_sets(Options(generated=out, reference=out, out=tmp_path / "r")).generated) == 20
    )


def test_label_asks_for_classes(model, tmp_path):
    for label, expected in (("cdm", [1, 1, 1]), ("any", [-1, -1, -1]), ("cdm,any", [1, -1, 1])):
        assert sample(model, tmp_path / label, "--num", 3, "--label", label) == 0
        with LensStore(tmp_path / label / "lenses.h5") as store:
            assert store.labels.tolist() == expected


def test_every_format_is_written(model, tmp_path):
    assert sample(model, tmp_path / "a", "--num", 2, "--format", "h5, npy,fits,png") == 0
    names = {str(path.relative_to(tmp_path / "a")) for path in tmp_path.glob("a/**/*.*")}
    files = {f"{kind}/0000{k}.{kind}" for kind in ("npy", "fits", "png") for k in (0, 1)}
    assert names == files | {"lenses.h5", "grid.png"}
    with LensStore(tmp_path / "a" / "lenses.h5") as store:
        image = store.read([1])[0]
    np.testing.assert_array_equal(np.load(tmp_path / "a/npy/00001.npy"), image)
    header = fits.getheader(tmp_path / "a/fits/00001.fits")
    assert (header["PIXSCALE"], header["BUNIT"], header["CLASS"]) == (0.25, "electron/s", "cdm")
    assert (header["SEED"], header["MODEL"]) == (0, "tiny")


@pytest.mark.parametrize(
    ("sampler", "steps", "frames"),
    [("dpmpp", 4, 31), ("ddim", 35, 36), ("heun", 4, 31), ("ddpm", None, 100)],
)
def test_gif_has_at_least_thirty_frames(model, tmp_path, sampler, steps, frames):
    words = ["--steps", steps] if steps else []
    assert sample(model, tmp_path / "a", "--num", 2, "--sampler", sampler, "--gif", *words) == 0
    assert num_frames(tmp_path / "a" / "denoising.gif") == frames


@pytest.mark.parametrize("steps", [4, 30])
@pytest.mark.parametrize("batch_size", [3, 200])
def test_gif_changes_no_image(model, tmp_path, steps, batch_size):
    words = ["--num", 7, "--steps", steps, "--batch-size", batch_size]
    assert sample(model, tmp_path / "plain", *words) == 0
    assert sample(model, tmp_path / "moving", *words, "--gif") == 0
    with (
        LensStore(tmp_path / "plain" / "lenses.h5") as plain,
        LensStore(tmp_path / "moving" / "lenses.h5") as moving,
    ):
        np.testing.assert_array_equal(plain.read(range(7)), moving.read(range(7)))


def test_gif_starts_from_noise_and_ends_with_the_images(model, tmp_path):
    assert sample(model, tmp_path / "a", "--num", 1, "--steps", 30, "--gif") == 0
    generator = LensGenerator.from_pretrained(model)
    walk = list(generator.trajectory(generator.request(1, num_steps=30)))
    with Image.open(tmp_path / "a" / "denoising.gif") as gif:
        zoom = gif.width // 10
        for index in (0, 30):
            gif.seek(index)
            pixels = np.asarray(gif.convert("L"), dtype=float)
            grey = pixels[zoom : 9 * zoom : zoom, zoom : 9 * zoom : zoom].ravel()
            brightness = generator.to_display(walk[index])[0, 0, ::-1].ravel()
            assert (np.diff(grey[np.argsort(brightness)]) >= 0).all()
            assert len(np.unique(grey)) > 10


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lenses.h5", []),
        ("grid.png", []),
        ("denoising.gif", ["--gif"]),
        ("npy", ["--format", "npy"]),
    ],
)
def test_nothing_is_replaced_unless_asked(model, tmp_path, capsys, name, words):
    (tmp_path / name).write_text("precious")
    assert sample(model, tmp_path, "--num", 1, *words) == 2
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_overwrite_replaces(model, tmp_path):
    for seed in (1, 2):
        assert sample(model, tmp_path, "--num", 1, "--seed", seed, "--gif", "--overwrite") == 0
    with LensStore(tmp_path / "lenses.h5") as store:
        assert store.header.seed == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num", "0"], "--num must be at least 1, got 0"),
        (["--num", "-3"], "--num must be at least 1, got -3"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--seed", "-1"], "seed"),
        (["--guidance", "nan"], "--guidance must lie between 0 and 10, beyond which"),
        (["--guidance", "-1"], "of it, got -1"),
        (["--guidance", "50"], "of it, got 50"),
        (["--model", "lens99", "--theta-E", "wide"], "--theta-E: 'wide' is neither"),
        (["--format", "tiff"], "unknown format 'tiff'; choose from h5, npy, fits, png"),
        (["--format", ""], "unknown format ''"),
        (["--label", "wdm"], "no class 'wdm'; it has: no_sub, cdm, any"),
        (["--label", "cdm,"], "no class ''"),
        (["--sampler", "euler"], "--sampler: 'euler' is not one of"),
        (["--sampler", "scheduler"], "sampler 'scheduler' is for networks of kind 'unet2d'"),
        (["--model", "lens99"], "no model 'lens99'"),
        (["--weak", "lens99", "--guidance", "2"], "no model 'lens99'"),
        (["--weak", "lens28"], "--weak is what --guidance goes by, so give --guidance too"),
        (["--weak", "lens28", "--guidance", "2"], "this one has another image shape"),
    ],
)
def test_bad_option_is_one_line_and_leaves_nothing(model, tmp_path, capsys, words, message):
    assert_refused(model, tmp_path, capsys, words, message)


def test_guidance_that_changes_lenses_is_doubted(model, tmp_path, capsys):
    assert sample(model, tmp_path / "a", "--num", 2, "--guidance", 3) == 0
    assert "guidance" not in capsys.readouterr().err
    assert sample(model, tmp_path / "b", "--num", 2, "--guidance", 4) == 0
    assert "guidance 4: beyond 3, lenses lose their shape" in capsys.readouterr().err


def test_folder_that_is_a_file_is_refused(model, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert sample(model, tmp_path / "out") == 2
    assert "out: is a file" in capsys.readouterr().err


@pytest.mark.parametrize("num_steps", [1, 30, 99, 100, 1000])
def test_gif_is_thinned_evenly_and_keeps_both_ends(num_steps):
    kept = sorted(kept_steps(num_steps))
    assert kept[0] == 0
    assert kept[-1] == num_steps
    assert len(kept) == min(num_steps + 1, 100)
    gaps = np.diff(kept)
    assert gaps.max() - gaps.min() <= 1
    assert math.isclose(gaps.mean(), num_steps / (len(kept) - 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sky-rms", "0.1"], "model 'tiny' has learned its noise with its lenses"),
        (["--exposure", "100"], "exposure and sky rms cannot be ordered"),
        (["--noise-free"], "has learned its noise with its lenses, so that it has no noise-free"),
        (["--theta-E", "1.2"], "model 'tiny' has no parameter 'theta_E'; it has: none"),
    ],
)
def test_model_of_learned_noise_takes_no_such_order(model, tmp_path, capsys, words, message):
    assert_refused(model, tmp_path, capsys, words, message)
