"""The results of a comparison: one JSON file, tables, plots."""

import platform
from typing import Any

import numpy as np
import torch

from comparison.drawing import SLOW
from comparison.peers import PEER_CLASSES
from comparison.quality import Match, Setting, best_of, match, time_to_reach
from comparison.sampling import TIMES, curve_sampler, sample_folder
from comparison.scoring import score_rows
from comparison.settings import (
    PEERS,
    Options,
    base_name,
    bundled_arms,
    chosen_arms,
    read_piece,
    share_of_time,
)
from gravlensdiffusion import __version__
from gravlensdiffusion.errors import GravLensError


def collect(options: Options) -> dict[str, Any]:
    """Gather the pieces that are there into one report.

    Raises:
        GravLensError: If nothing was scored yet.
    """
    floors = read_piece(options.out / "score" / "floors.json")
    if floors is None:
        raise GravLensError(f"{options.out} holds no scores yet; make the piece 'score' first")
    timing = read_piece(options.out / "timing" / "timing.json") or {"tasks": {}}
    trainings = {}
    for arm in chosen_arms(options):
        found = read_piece(options.out / "train" / f"{arm}.json")
        if found is not None:
            alone = timing["tasks"].get(f"train:{base_name(arm)}")
            trainings[arm] = found | {"timed_s_per_image": alone and alone["s_per_image"]}
    rows = []
    for row in score_rows(options):
        kept = read_piece(sample_folder(options, row["arm"], row["sampler"], row["share"]) / TIMES)
        timed = timing["tasks"].get(f"sample:{row['arm']}:{row['sampler']}")
        rows.append(
            row
            | {
                "steps": kept and kept["steps"],
                "peak_bytes": kept and kept["peak_bytes"],
                "s_per_image_drawn": kept and kept["processor"] / kept["num"],
                "s_per_image": timed and timed["s_per_image"],
                "is_trained_elsewhere": row["arm"] in bundled_arms(options),
            }
        )
    return {
        "versions": versions(options),
        "threads": options.threads,
        "minutes": options.minutes,
        "clock": options.clock,
        "recipe": options.recipe,
        "numbers": {name: getattr(options, name) for name in ("num", "num_slow", "num_curve")},
        "floors": floors,
        "training": trainings,
        "sampling": rows,
        "published": read_piece(options.out / "score" / "published.json"),
        "layouts": {arm: read_piece(options.out / "layout" / f"{arm}.json") for arm in PEERS},
    }


def versions(options: Options) -> dict[str, str]:
    """Return the versions of everything that is compared."""
    found = {
        "gravlensdiffusion": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    for arm in chosen_arms(options):
        if arm in PEERS:
            found |= PEER_CLASSES[arm].versions()
    return found


def settings_of(report: dict[str, Any]) -> list[Setting]:
    """Return the settings after the whole training, those that have a time per image."""
    found = []
    for row in report["sampling"]:
        seconds = row["s_per_image"] or row["s_per_image_drawn"]
        if row["share"] == 1 and seconds:
            distances = {int(num): s["frechet"]["mean"] for num, s in row["scores"].items()}
            found.append(
                Setting(
                    arm=row["arm"],
                    sampler=row["sampler"],
                    s_per_image=seconds,
                    distances=distances,
                )
            )
    return found


def is_ours(setting: Setting, *, elsewhere: bool) -> bool:
    """Whether a setting is of our training here, or of a model trained elsewhere."""
    return setting.arm.startswith("bundled-") if elsewhere else base_name(setting.arm) == "ours"


def matches(report: dict[str, Any], *, elsewhere: bool) -> list[Match]:
    """Compare every setting of the others with ours, at the most images that both have."""
    settings = settings_of(report)
    ours = [each for each in settings if is_ours(each, elsewhere=elsewhere)]
    known = {num for each in ours for num in each.distances}
    found = []
    for theirs in settings:
        if theirs.arm in ("reference", *PEERS):
            found += [match(theirs, ours, num) for num in sorted(known & set(theirs.distances))]
    return found


def best_peer(report: dict[str, Any], num: int) -> Setting | None:
    """Return the setting of the other packages that is best at a number of images."""
    return best_of([each for each in settings_of(report) if each.arm in PEERS], num)


def headlines(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the matches that count: with the reference, and with the best of the other packages.

    The reference is that of 1000 steps. The best of the packages is that of least distance among
    their settings of few steps, at the number of images of those, and among all at the number that
    all have.
    """
    settings = settings_of(report)
    few, most = (report["numbers"][name] for name in ("num_slow", "num"))
    given = [each for each in settings if (each.arm, each.sampler) == ("reference", SLOW)]
    wanted = [(each, few) for each in given if few in each.distances]
    wanted += [(best, num) for num in (few, most) if (best := best_peer(report, num)) is not None]
    found = []
    for elsewhere in (False, True):
        ours = [each for each in settings if is_ours(each, elsewhere=elsewhere)]
        found += [described(match(theirs, ours, num)) for theirs, num in wanted if ours]
    return found


def training_goal(report: dict[str, Any]) -> dict[str, Any] | None:
    """Return when ours reaches what the best of the others has after its whole time.

    Both are judged at the number of images that is drawn on the way, with their fast samplers.
    """
    num = report["numbers"]["num_curve"]
    best = best_peer(report, num)
    if best is None:
        return None
    goal = best.distances[num]
    found: dict[str, Any] = {"peer": best.arm, "sampler": best.sampler, "num": num, "frechet": goal}
    for arm, points in curves(report).items():
        if base_name(arm) == "ours":
            reached = time_to_reach(points, goal)
            found[arm] = reached and reached / (60 * report["minutes"])
    return found


def curves(report: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Return training time [s] and distance of every arm, with the sampler it is judged by."""
    num = str(report["numbers"]["num_curve"])
    found: dict[str, list[tuple[float, float]]] = {}
    for row in report["sampling"]:
        arm = row["arm"]
        is_judged = arm in report["training"] and row["sampler"] == curve_sampler(arm)
        if is_judged and num in row["scores"]:
            seconds = row["share"] * share_of_time(arm) * 60 * report["minutes"]
            found.setdefault(arm, []).append((seconds, row["scores"][num]["frechet"]["mean"]))
    return {arm: sorted(points) for arm, points in found.items()}


def full_report(options: Options) -> dict[str, Any]:
    """Return the report with what follows from its numbers."""
    report = collect(options)
    found = [match for flag in (False, True) for match in matches(report, elsewhere=flag)]
    return report | {
        "equal_quality": [described(each) for each in found],
        "headlines": headlines(report),
        "training_goal": training_goal(report),
    }


def described(found: Match) -> dict[str, Any]:
    """Return a match as the results have it."""
    ours = found.ours
    return {
        "arm": found.theirs.arm,
        "sampler": found.theirs.sampler,
        "num": found.num,
        "frechet": found.theirs.distances[found.num],
        "s_per_image": found.theirs.s_per_image,
        "ours": None
        if ours is None
        else {
            "arm": ours.arm,
            "sampler": ours.sampler,
            "s_per_image": ours.s_per_image,
            "frechet": ours.distances[found.num],
        },
        "ratio": found.ratio,
    }
