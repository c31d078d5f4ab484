"""``gravlens distill`` as a user runs it."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.config.training import DistillationConfig
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.checkpoint import load_model, save_model
from gravlensdiffusion.model.folders import FEW_STEPS, checkpoints
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.training.distill import open_distillation
from tests.models import awake
from tests.training.driving import drive


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A model to learn from."""
    save_model(tmp_path / "teacher", awake())
    return tmp_path / "teacher"


def words(teacher: Path, out: Path, *more: str) -> list[str]:
    """Return a command of two steps."""
    given = ["distill", "--teacher", str(teacher), "--out", str(out), "--device", "cpu"]
    return [*given, "--images", "16", "--batch-size", "8", *more]


def test_a_model_is_distilled_and_drawn_from(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(words(teacher, out, "--steps", "1,2")) == 0
    assert capsys.readouterr().out == f"distilled {teacher} into {out} on 16 images\n"
    assert (
        main(
            [
                "sample",
                "--model",
                str(out),
                "--num",
                "4",
                "--steps",
                "1",
                "--out",
                str(tmp_path / "a"),
            ]
        )
        == 0
    )
    # Again, with another number of images: refused, since the run has other settings.
    assert main([*words(teacher, out, "--steps", "1,2"), "--seed", "3"]) == 2
    assert "another seed" in capsys.readouterr().err


def test_distilled_weights_beside_a_model_take_its_few_steps(teacher: Path, tmp_path: Path) -> None:
    assert main(words(teacher, tmp_path / "run", "--steps", "1,2")) == 0
    save_model(teacher / FEW_STEPS, load_model(checkpoints(tmp_path / "run")[-1].folder))
    generator = LensGenerator.from_pretrained(teacher, device="cpu")
    assert generator.num_few_steps == (1, 2)
    assert generator.sampling(None, 2) == ("consistency", 2)
    assert generator.sampling(None, None) == ("dpmpp", 3)
    assert generator.sampling(None, 4) == ("dpmpp", 4)
    assert generator.sampling("dpmpp", 2) == ("dpmpp", 2)
    images = []
    for name, more in (("short", []), ("long", ["--sampler", "dpmpp"])):
        folder = tmp_path / name
        given = ["sample", "--model", str(teacher), "--num", "3", "--steps", "2", *more]
        assert main([*given, "--out", str(folder), "--device", "cpu"]) == 0
        with LensStore(folder / "lenses.h5") as store:
            images.append(store.read([0, 1, 2]))
    assert (images[0] != images[1]).any()


def test_a_dry_run_says_what_would_be_done(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(teacher, tmp_path / "run", "--dry-run")) == 0
    expected = (
        f"would distill {teacher} to 1, 2, 4 steps by endpoint on 16 images in 2 steps, batch 8\n"
    )
    assert capsys.readouterr().out == expected
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--steps", "1,x"], "--steps must be whole numbers"),
        (["--steps", "3,4"], "3 does not divide 4"),
        (["--images", "0"], "--images must be at least 1, got 0"),
        (["--learning-rate", "-1"], "--learning-rate must be positive, got -1.0"),
    ],
)
def test_a_mistake_is_one_line(
    teacher: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    assert main(words(teacher, tmp_path / "run", *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.fixture
def pair(teacher: Path, tmp_path: Path) -> Path:
    """A model with distilled weights beside it, and measured qualities."""
    student = tmp_path / "student"
    distill_config = DistillationConfig(steps=(1, 2), total_images=8, batch_size=8)
    drive(open_distillation(distill_config, load_model(teacher), student, device="cpu"))
    model = load_model(teacher)
    model.config = replace(
        model.config, sampling=replace(model.config.sampling, draft_steps=1, best_steps=5)
    )
    folder = tmp_path / "pair"
    save_model(folder, model)
    save_model(folder / FEW_STEPS, load_model(student))
    return folder


def test_qualities_are_the_numbers_of_steps_that_the_model_names(pair: Path) -> None:
    generator = LensGenerator.from_pretrained(pair, device="cpu")
    found = [
        generator.sampling(None, generator.steps_of(quality))
        for quality in ("draft", "standard", "best")
    ]
    assert found == [("consistency", 1), ("dpmpp", 3), ("dpmpp", 5)]


def test_a_quality_draws_what_its_steps_draw(pair: Path, tmp_path: Path) -> None:
    drawn = {}
    for name, flags in {"draft": ["--quality", "draft"], "one": ["--steps", "1"]}.items():
        given = ["sample", "--model", str(pair), "--num", "2", *flags, "--device", "cpu"]
        assert main([*given, "--out", str(tmp_path / name)]) == 0
        with LensStore(tmp_path / name / "lenses.h5") as store:
            drawn[name] = store.read([0, 1])
    assert (drawn["draft"] == drawn["one"]).all()


@pytest.mark.parametrize("more", [["--steps", "2"], ["--sampler", "ddim"]])
def test_a_quality_and_a_number_of_steps_exclude_each_other(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    given = ["sample", "--model", str(pair), "--quality", "best", "--out", str(tmp_path / "a")]
    assert main([*given, *more]) == 2
    assert f"leave out {more[0]}" in capsys.readouterr().err


def test_the_gif_of_few_steps_shows_the_way_of_the_teacher(pair: Path, tmp_path: Path) -> None:
    def frames(model: Path, out: str) -> int:
        given = ["sample", "--model", str(model), "--num", "1", "--steps", "2", "--gif"]
        assert main([*given, "--device", "cpu", "--out", str(tmp_path / out)]) == 0
        with Image.open(tmp_path / out / "denoising.gif") as gif:
            return int(gif.n_frames)

    assert frames(pair, "both") == 31
    # Distilled weights alone know no longer way than their own.
    assert frames(pair / FEW_STEPS, "alone") == 3


def test_sampler_consistency_needs_distilled_weights(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["sample", "--model", str(teacher), "--sampler", "consistency"]
    assert main([*given, "--out", str(tmp_path / "a"), "--device", "cpu"]) == 2
    assert "is not distilled" in capsys.readouterr().err
