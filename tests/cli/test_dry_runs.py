"""A dry run refuses what the command itself would refuse, in the same words, and writes nothing."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.files import held
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.presets.training import PRESETS
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.training.diffusion import train
from tests.balancing.sets import save_set
from tests.classification.planted import HEADER, planted
from tests.models import ORDERED, awake
from tests.sources import ArraySource, rings, tiny


def store(path: Path, source: ArraySource, header: SetHeader | None = None) -> None:
    """Write images, labels and parameters."""
    records = [
        LensRecord(
            image=image,
            label=int(source.labels[k]),
            parameters={name: float(values[k]) for name, values in source.parameters.items()},
        )
        for k, image in enumerate(source.images)
    ]
    write_store(path, records, header or source.header, num=len(records))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with sets, recipes and models, good and bad ones."""
    work = tmp_path_factory.mktemp("work")
    source = rings(20, size=8)
    store(work / "rings.h5", source)
    store(work / "other.h5", rings(20, size=8, seed=1))
    wide = replace(source, images=np.repeat(source.images, 2, axis=3))
    store(work / "oblong.h5", wide)
    store(work / "one.h5", ArraySource(source.images[:1], source.labels[:1], source.header))
    flat = replace(source, images=np.ones_like(source.images))
    store(work / "flat.h5", flat)
    alike = replace(source, images=np.repeat(source.images[:1], 20, axis=0))
    store(work / "alike.h5", alike)
    same = replace(source, parameters={"theta_E": np.ones(20)})
    store(work / "same.h5", same)
    np.savez(work / "empty.npz", images=source.images[:0])
    recipes = {
        "tiny": tiny(total_images=8),
        "seeded": tiny(total_images=8, seed=1),
        "large": tiny(size=12),
        "split": tiny(noise="split"),
        "reference": tiny("reference"),
        "lacking": tiny(parameters=("redshift",)),
        "theta_E": tiny(parameters=("theta_E",)),
        "turned": tiny(parameters=("source_x",), augment="d4"),
        "odd": replace(PRESETS["slacs96"](), size=8, noise="learned", parameters=()),
    }
    for name, config in recipes.items():
        (work / f"{name}.json").write_text(to_json(config))
    model = awake()
    save_model(work / "model", model)
    plain = replace(ORDERED, class_names=(), parameters=(), prior_size=0)
    save_model(work / "plain", awake(plain))
    save_model(work / "colours", awake(replace(ORDERED, num_channels=2)))
    noisy = replace(ORDERED.denoiser, prediction="epsilon")
    save_model(
        work / "ddpm",
        awake(
            replace(ORDERED, denoiser=noisy, schedule=replace(ORDERED.schedule, kind="ddpm")),
        ),
    )
    train(tiny(total_images=8), source, work / "run", device="cpu")
    (work / "torn").mkdir()
    shutil.copytree(work / "run", work / "torn", dirs_exist_ok=True)
    next((work / "torn").glob("checkpoints/*/training_state.pt")).write_bytes(b"torn")
    (work / "mine").mkdir()
    (work / "mine" / "thesis.tex").write_text("x")
    (work / "busy").mkdir()
    save_set(work / "set.h5")
    store(work / "labelled.h5", planted(60, 0), HEADER)
    dark = planted(60, 0)
    dark.images[:] = 0
    side = dark.images.shape[-1] // 8
    for k, image in enumerate(dark.images):
        image[:, side * (k // 8), side * (k % 8)] = 1
    store(work / "dark.h5", dark, HEADER)
    store(work / "small.h5", rings(20, size=4))
    few = rings(3, size=8)
    store(work / "few.h5", few)
    (work / "out.h5.partial").mkdir()
    (work / "out.h5.partial" / "request.json").write_text('{"seed": 9}')
    (work / "theirs.h5.partial").mkdir()
    (work / "theirs.h5.partial" / "thesis.tex").write_text("x")
    (work / "shards").mkdir()
    shutil.copy(work / "set.h5", work / "shards" / "lenses-00000.h5")
    return work


TRAIN = "train --device cpu --preset {w}/tiny.json --data {w}/rings.h5 --out {w}/new"
DISTILL = "distill --device cpu --images 8 --teacher {w}/model --out {w}/new"
SIMULATE = "simulate --num 2 --out {w}/new.h5"
SAMPLE = "sample --device cpu --num 2 --model {w}/model --out {w}/new"
BALANCE = "balance {w}/set.h5 --device cpu --model {w}/model --out {w}/new.h5"
CLASSIFY = "classify train {w}/labelled.h5 --device cpu --images 64 --out {w}/new"

CASES = {
    f"{TRAIN} --out {{w}}/mine": "not a run directory",
    f"{TRAIN} --out {{w}}/rings.h5/run": "cannot be written: Not a directory",
    f"{TRAIN} --out {{w}}/busy": "another process is working there",
    f"{TRAIN} --out {{w}}/run --preset {{w}}/seeded.json": "another seed",
    f"{TRAIN} --out {{w}}/run --data {{w}}/other.h5": "other data",
    f"{TRAIN} --out {{w}}/torn": "remove ",
    f"{TRAIN} --device cuda": "no CUDA device",
    f"{TRAIN} --data {{w}}/oblong.h5": "must be square",
    f"{TRAIN} --data {{w}}/one.h5": "all the same",
    f"{TRAIN} --data {{w}}/flat.h5": "is constant",
    f"{TRAIN} --data {{w}}/alike.h5": "all the same",
    f"{TRAIN} --data {{w}}/empty.npz": "",
    f"{TRAIN} --data {{w}}/one.h5 --held-out 0.1": "none can be held out",
    f"{TRAIN} --preset {{w}}/large.json": "fewer than 12",
    f"{TRAIN} --preset {{w}}/split.json": "noise-free",
    f"{TRAIN} --preset {{w}}/reference.json --data {{w}}/set.h5": "from 0 to 1",
    f"{TRAIN} --preset {{w}}/lacking.json": "no parameter 'redshift'",
    f"{TRAIN} --preset {{w}}/theta_E.json --data {{w}}/same.h5": "in all training images",
    f"{TRAIN} --preset {{w}}/turned.json": "exchanges parameter",
    f"{TRAIN} --preset {{w}}/odd.json": "multiple of",
    f"{TRAIN} --init {{w}}/nowhere": "nowhere",
    f"{TRAIN} --init {{w}}/model --preset {{w}}/reference.json": "",
    f"{DISTILL} --out {{w}}/mine": "not a run directory",
    f"{DISTILL} --out {{w}}/rings.h5/run": "cannot be written: Not a directory",
    f"{DISTILL} --out {{w}}/busy": "another process is working there",
    f"{DISTILL} --out {{w}}/run": "config.json",
    f"{DISTILL} --device cuda": "no CUDA device",
    f"{DISTILL} --teacher {{w}}/ddpm": "predicts the noise",
    f"{SIMULATE} --out {{w}}/set.h5": "exists already",
    f"{SIMULATE} --out {{w}}/rings.h5/new.h5": "cannot be written: Not a directory",
    f"{SIMULATE} --num 0": "at least 1",
    f"{SIMULATE} --jobs 0": "at least 1",
    f"{SIMULATE} --seed -1": "--seed must lie between 0 and",
    f"{SIMULATE} --classes cdm,wimp": "unknown class",
    f"{SIMULATE} --shard-size 1 --out {{w}}/mine": "thesis.tex",
    f"{SIMULATE} --shard-size 1 --out {{w}}/shards": "does not say what it was asked to be",
    f"{SAMPLE} --out {{w}}/rings.h5": "is a file",
    f"{SAMPLE} --out {{w}}/rings.h5/new": "cannot be written: Not a directory",
    f"{SAMPLE} --device cuda": "no CUDA device",
    f"{SAMPLE} --model {{w}}/nowhere": "nowhere",
    f"{SAMPLE} --theta-E 99": "theta_E",
    f"{SAMPLE} --label wimp": "wimp",
    f"{SAMPLE} --sampler consistency": "not distilled",
    f"{SAMPLE} --model {{w}}/ddpm --sampler ddpm --steps 2000": "1000 steps of noise",
    f"{SAMPLE} --model {{w}}/plain --guidance 2": "nothing to guide by",
    f"{SAMPLE} --model {{w}}/colours --format png": "PNG needs images of one channel",
    f"{SAMPLE} --model {{w}}/run --noise-free": "no noise-free images",
    f"{SAMPLE} --shard-size 1 --out {{w}}/mine": "thesis.tex",
    f"{SAMPLE} --shard-size 1 --out {{w}}/shards": "does not say what it was asked to be",
    f"{BALANCE} --out {{w}}/rings.h5": "exists already",
    f"{BALANCE} --out {{w}}/rings.h5/new.h5": "cannot be written: Not a directory",
    f"{BALANCE} --out {{w}}/out.h5": "unfinished balance of another",
    f"{BALANCE} --out {{w}}/theirs.h5": "no unfinished balance",
    f"{BALANCE} --model {{w}}/colours": "channels",
    f"{BALANCE} --model {{w}}/ddpm --sampler ddpm --steps 2000": "1000 steps of noise",
    f"{BALANCE} --guidance -1": "guidance",
    f"{CLASSIFY} --out {{w}}/mine": "exists already",
    f"{CLASSIFY} --out {{w}}/rings.h5/new": "cannot be written: Not a directory",
    f"{CLASSIFY} --device cuda": "no CUDA device",
    f"{CLASSIFY} --size 1000": "fewer than 1000",
    CLASSIFY.replace("labelled", "dark"): "no bright pixels",
    CLASSIFY.replace("labelled", "small"): "8 pixels or more",
    CLASSIFY.replace("labelled", "oblong"): "must be square",
    CLASSIFY.replace("labelled", "few"): "original images",
}


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, and what they hold."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a command that is refused says on stderr."""
    assert main(words) == 2, capsys.readouterr()
    said = capsys.readouterr()
    assert said.out == ""
    assert sum("error" in line for line in said.err.splitlines()) == 1
    return "\n".join(filter(None, said.err.splitlines()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace("{w}/", ""))
def test_a_dry_run_refuses_what_the_command_refuses(
    case: str, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = case.format(w=work).split()
    # The last of two flags counts; tyro takes one alone.
    words = [word for k, word in enumerate(words) if not _is_given_later(words, k)]
    before = contents(work)
    with held(work / "busy"):
        (work / "busy" / "config.json").write_text(to_json(tiny()))
        before = contents(work)
        dry = run([*words, "--dry-run"], capsys)
        assert contents(work) == before
        assert dry == run(words, capsys)
    assert CASES[case] in dry
    shutil.rmtree(work / "new", ignore_errors=True)


def _is_given_later(words: list[str], k: int) -> bool:
    flag = words[k] if words[k].startswith("--") else words[max(k - 1, 0)]
    return flag.startswith("--") and flag in words[k + 1 :]


@pytest.mark.parametrize(
    "command", [TRAIN, DISTILL, SIMULATE, SAMPLE, f"{SAMPLE} --shard-size 1", BALANCE, CLASSIFY]
)
def test_a_dry_run_of_what_is_right_writes_nothing(
    command: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(work)
    assert main([*command.format(w=work).split(), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("would ")
    assert contents(work) == before


@pytest.mark.parametrize(
    "command",
    [
        f"{TRAIN} --epochs 4",
        DISTILL.replace("8", "256"),
        SIMULATE,
        f"{SIMULATE}/shards --shard-size 1",
        SAMPLE,
        f"{SAMPLE} --shard-size 1",
        BALANCE,
        CLASSIFY,
    ],
)
def test_away_from_a_terminal_a_command_tells_how_far_it_is(
    command: str, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise the first line comes after a few seconds.
    monkeypatch.setattr("gravlensdiffusion.progress.FIRST_S", 0.0)
    try:
        assert main(command.format(w=work).split()) == 0
    finally:
        for name in ("new", "new.h5"):
            shutil.rmtree(work / name, ignore_errors=True)
        (work / "new.h5").unlink(missing_ok=True)
    line = r"(?m)^gravlens: [\d,]+ of [\d,]+ images, \S+ (images/s|\w+ an image)"
    assert re.search(line, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"{TRAIN} --init lens99", "no model 'lens99'"),
        (f"{BALANCE.replace('{w}/model', 'lens99')}", "no model 'lens99'"),
        ("classify predict {w}/set.h5 --model {w}/mine --out {w}/p.csv", "of a classifier?"),
        ("classify score {w}/set.h5 --model {w}/mine --out {w}/new", "of a classifier?"),
        *(
            (each.replace("--device cpu", "--device cuda"), "no CUDA device here")
            for each in (TRAIN, BALANCE, CLASSIFY)
        ),
    ],
)
def test_mistakes_are_told_before_a_set_is_looked_at(
    command: str,
    message: str,
    work: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(*_: object, **__: object) -> None:
        raise AssertionError("the set was looked at")

    monkeypatch.setattr("gravlensdiffusion.formats.open.open_set", look)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert message in run(command.format(w=work).split(), capsys)
