"""Training for an equal time: the clock, what is kept on the way, how it stops and goes on."""

import resource
import shutil
import signal
import time
from pathlib import Path

import torch

from comparison.sessions import Session, open_session
from comparison.settings import (
    Options,
    budget,
    read_piece,
    share_name,
    shares,
    write_piece,
)

SAVE_EVERY = 90
"""Wall time between two saves [s]."""
KIB = 1024
"""Bytes of the unit in which Linux gives a peak of memory."""


def train_arm(options: Options, arm: str) -> None:
    """Train one arm for its time, or go on where it was stopped; nothing if it is done.

    Raises:
        SystemExit: With code 130 or 143 after a signal, once the training is saved.
    """
    path = options.out / "train" / f"{arm}.json"
    before = read_piece(path) or {}
    if before.get("is_done"):
        return
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopped.append(received))
    torch.set_num_threads(options.threads)
    session = open_session(options, arm)
    seconds = budget(options, arm)
    due = [
        share for share in shares(options, arm) if not snapshot_folder(options, arm, share).exists()
    ]
    peak = int(before.get("peak_bytes", 0))
    saved = time.monotonic()
    is_done = False
    while not is_done and not stopped:
        timed_step(session, seconds, options)
        used = session.clock[options.clock]
        is_done = used >= seconds
        while due and used >= due[0] * seconds:
            keep_snapshot(session, snapshot_folder(options, arm, due.pop(0)))
        if is_done or stopped or time.monotonic() - saved > SAVE_EVERY:
            session.save()
            peak = max(peak, peak_bytes())
            write_piece(path, record(options, session, peak, is_done=is_done))
            saved = time.monotonic()
            print(
                f"{arm}: {used:.0f} of {seconds:.0f} s, {session.images_seen:,} images", flush=True
            )
    if stopped and not is_done:
        raise SystemExit(128 + stopped[0])


def timed_step(session: Session, seconds: float, options: Options) -> None:
    """Take one step and add its time to the clock."""
    wall, processor = time.perf_counter(), time.process_time()
    session.step(session.clock[options.clock] / seconds)
    session.clock["wall"] += time.perf_counter() - wall
    session.clock["processor"] += (time.process_time() - processor) / options.threads


def keep_snapshot(session: Session, folder: Path) -> None:
    """Keep what is needed to draw, all of it or nothing."""
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    session.snapshot(temporary)
    temporary.rename(folder)


def record(options: Options, session: Session, peak: int, *, is_done: bool) -> dict[str, object]:
    """Return what is told of a training."""
    return {
        "is_done": is_done,
        "parameters": session.num_parameters,
        "batch_size": session.batch_size,
        "images_seen": session.images_seen,
        "seconds": session.clock,
        "clock": options.clock,
        "threads": options.threads,
        "images_per_s": session.images_seen / session.clock[options.clock],
        "peak_bytes": peak,
    }


def snapshot_folder(options: Options, arm: str, share: float) -> Path:
    """Return where the weights after a share of an arm's time lie."""
    return options.out / "training" / arm / "snapshots" / share_name(share)


def kept_shares(options: Options, arm: str) -> list[float]:
    """Return the shares of its time that an arm has got to and whose weights are kept."""
    found = shares(options, arm)
    return [share for share in found if snapshot_folder(options, arm, share).exists()]


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return KIB * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
