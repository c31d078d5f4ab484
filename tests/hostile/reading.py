"""A child process that reads files through the public ways in and says what came of each.

It reads one JSON object a line, ``{"way": ..., "path": ...}``, and answers with another: whether
the file was read or refused, or else what went wrong, how long it took, the peak memory, and what
Python did that it should not have.
"""

import contextlib
import io
import json
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

# PyTorch makes a folder of its own when this is first imported, which is no deed of a file; and what
# takes long to import is no time that a file takes.
import torch._dynamo  # noqa: F401

from gravlensdiffusion.simulation.gallery import Gallery
from tests.hostile.watching import Watch

LIMIT_S = 10
ADDRESS_SPACE = 2**32
"""More than the tests allow, so that a file that asks for more harms no machine."""
ALLOWED_CODES = (0, 2)


class TookTooLong(BaseException):
    """The time for a file is over."""


def command(*words: object) -> str:
    """Run the command line in this process; a traceback is passed on."""
    from gravlensdiffusion.cli.main import main

    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
        out.flush()
        err.flush()
    said = err.buffer.getvalue().decode()
    if code not in ALLOWED_CODES:
        raise AssertionError(f"exit code {code}: {said}")
    if code == 2:
        lines = [line for line in said.splitlines() if "error: " in line]
        if len(lines) != 1 or not all(line.isprintable() for line in said.split("\n")):
            raise AssertionError(f"not one clear line: {said!r}")
        return lines[0]
    shown = out.buffer.getvalue().decode()
    if not all(line.isprintable() for line in shown.split("\n")):
        raise AssertionError(f"control characters in {shown!r}")
    return ""


def read_set(path: Path) -> str:
    picture = Path.cwd() / "preview.png"
    refused = command("inspect", path, "--out", picture, "--overwrite")
    return refused and command("inspect", path, "--skip-bad", "--out", picture, "--overwrite")


def read_objects(path: Path) -> str:
    picture = Path.cwd() / "preview.png"
    words = ("inspect", path, "--allow-object-arrays", "--out", picture, "--overwrite")
    return command(*words)


def load_and_draw(path: Path) -> str:
    from gravlensdiffusion.errors import GravLensError
    from gravlensdiffusion.generation.generator import LensGenerator

    try:
        LensGenerator.from_pretrained(path, device="cpu").sample(1, num_steps=1)
    except GravLensError as error:
        return one_line(error)
    return ""


def load_inception_weights(path: Path) -> str:
    from gravlensdiffusion.errors import GravLensError
    from gravlensdiffusion.metrics.inception import FIDInception

    try:
        FIDInception.load(path)
    except GravLensError as error:
        return one_line(error)
    return ""


def read_recipe(path: Path) -> str:
    out = Path.cwd() / "run"
    return command("train", "--preset", path, "--data", "data.h5", "--out", out, "--dry-run")


def read_orders(path: Path) -> str:
    from gravlensdiffusion.errors import GravLensError
    from gravlensdiffusion.generation.conditions import read_conditions
    from tests.models import ORDERED

    try:
        read_conditions(path, ORDERED, "tiny")
    except GravLensError as error:
        return one_line(error)
    return ""


def one_line(error: Exception) -> str:
    text = str(error)
    if not text.isprintable():
        raise AssertionError(f"not one clear line: {text!r}")
    return text


def read_sources(path: Path) -> str:
    from gravlensdiffusion.errors import GravLensError
    from gravlensdiffusion.formats.open import open_set

    try:
        Gallery.of(open_set(path / "catalog.fits", mixed=True, any_unit=True, skip_bad=True))
    except GravLensError as error:
        return one_line(error)
    return ""


WAYS: dict[str, Callable[[Path], str]] = {
    "set": read_set,
    "objects": read_objects,
    "model": load_and_draw,
    "model file": load_and_draw,
    "inception": load_inception_weights,
    "recipe": read_recipe,
    "sources": read_sources,
    "conditions": read_orders,
}


def judge(way: str, path: Path, watch: Watch) -> dict[str, object]:
    """Read a file and return what came of it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    watch.take()
    start = time.monotonic()
    signal.alarm(LIMIT_S)
    try:
        refused = WAYS[way](path)
        outcome = {"outcome": "refused" if refused else "read", "said": refused}
    except TookTooLong:
        outcome = {"outcome": "hang", "said": traceback.format_exc()}
    except BaseException:  # noqa: BLE001 - whatever it is, it is a traceback
        outcome = {"outcome": "traceback", "said": traceback.format_exc()}
    finally:
        signal.alarm(0)
    seconds = time.monotonic() - start
    return {**outcome, "seconds": seconds, "peak_bytes": peak_bytes(), "deeds": watch.take()}


def peak_bytes() -> int:
    """Return the largest memory of this process since it was asked to forget, or of a child."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        own = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)


def main() -> None:
    def stop(*_: object) -> None:
        raise TookTooLong

    signal.signal(signal.SIGALRM, stop)
    answers = sys.stdout

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")
    print(json.dumps({"baseline_bytes": peak_bytes()}), file=answers, flush=True)
    watch = Watch(Path.cwd())
    for line in sys.stdin:
        task = json.loads(line)
        answer = judge(task["way"], Path(task["path"]), watch)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
