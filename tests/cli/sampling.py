"""How tests draw images with ``gravlens sample``, and look at what comes of it."""

from pathlib import Path

from PIL import Image

from gravlensdiffusion.cli.main import main


def sample(model: Path, out: Path, *words: object) -> int:
    """Return the exit code of ``gravlens sample``."""
    return main(["sample", "--model", str(model), "--out", str(out), *map(str, words)])


def num_frames(path: Path) -> int:
    """Return how many pictures a GIF shows."""
    with Image.open(path) as gif:
        return gif.n_frames


def assert_refused(model, tmp_path, capsys, words, message):
    """Check that some words are refused in one line, and that nothing is written."""
    assert sample(model, tmp_path / "a", *words) == 2
    err = capsys.readouterr().err
    assert err.startswith("gravlens: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not [path for path in tmp_path.glob("**/*") if path.is_file()]
