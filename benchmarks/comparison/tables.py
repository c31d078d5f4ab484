"""The tables of a comparison, in Markdown."""

from collections.abc import Sequence
from typing import Any

from comparison.report import curves

MIB = 2**20
"""Bytes of the unit of memory."""


def tables(report: dict[str, Any]) -> str:
    """Return all tables of a report."""
    parts = [
        training_table(report),
        sampling_table(report),
        "Against the reference and the best of the other packages:",
        quality_table(report["headlines"]),
        "Against every setting of the others:",
        quality_table(report["equal_quality"]),
        curve_table(report),
        goal_line(report),
        published_table(report),
    ]
    return "\n\n".join(part for part in parts if part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def training_table(report: dict[str, Any]) -> str:
    """Return what each training took; speeds relative to the reference's."""
    speeds = {arm: training_speed(row) for arm, row in report["training"].items()}
    rows = []
    for arm, row in report["training"].items():
        relative = speeds[arm] / speeds["reference"] if "reference" in speeds else float("nan")
        rows.append(
            [
                arm,
                f"{row['parameters']:,}",
                str(row["batch_size"]),
                f"{row['images_seen']:,}",
                f"{speeds[arm]:.1f}",
                f"{relative:.2f}",
                f"{row['peak_bytes'] / MIB:.0f}",
            ]
        )
    head = ["arm", "parameters", "batch", "images seen", "images/s", "over reference", "peak MiB"]
    return table(head, rows)


def training_speed(row: dict[str, Any]) -> float:
    """Return images per second, of the timing in turns where there is one."""
    timed = row["timed_s_per_image"]
    return 1 / timed if timed else float(row["images_per_s"])


def sampling_table(report: dict[str, Any]) -> str:
    """Return time and quality of every arm and sampler after the whole training."""
    sizes = [str(report["numbers"][name]) for name in ("num_slow", "num")]
    rows = []
    for row in report["sampling"]:
        if row["share"] != 1:
            continue
        seconds = row["s_per_image"] or row["s_per_image_drawn"]
        cells = [f"{row['arm']}, {row['sampler']}", str(row["steps"]), f"{1 / seconds:.3g}"]
        for size in sizes:
            score = row["scores"].get(size)
            floor = report["floors"][size]["mean"]
            cells += [distance_cell(score, floor)]
        score = row["scores"][max(row["scores"], key=int)]
        cells += [f"{100 * score[name]:+.1f}%" for name in ("sky_rms_shift", "flux_shift")]
        rows.append([*cells, f"{row['peak_bytes'] / MIB:.0f}"])
    real = [floor_cell(report["floors"][size]) for size in sizes]
    rows.append(["real against real", "", "", *real, "", "", ""])
    distances = [f"distance at {size} (over floor)" for size in sizes]
    head = ["arm", "steps", "images/s", *distances, "sky rms", "flux", "peak MiB"]
    note = " Arms named bundled were trained elsewhere, and longer."
    has_bundled = any(row["is_trained_elsewhere"] for row in report["sampling"])
    return table(head, rows) + (f"\n\n{note.strip()}" if has_bundled else "")


def distance_cell(score: dict[str, Any] | None, floor: float) -> str:
    """Return a distance and its ratio to the floor."""
    if score is None:
        return ""
    mean, spread = score["frechet"]["mean"], score["frechet"]["std"]
    return f"{mean:.3g} ± {spread:.2g} ({mean / floor:.2f})"


def floor_cell(floor: dict[str, float]) -> str:
    """Return a floor."""
    return f"{floor['mean']:.3g} ± {floor['std']:.2g} (1)"


def quality_table(found: Sequence[dict[str, Any]]) -> str:
    """Return how many times faster ours is at equal quality."""
    rows = []
    for row in found:
        ours = row["ours"]
        cells = [f"{row['arm']}, {row['sampler']}", str(row["num"]), f"{row['frechet']:.3g}"]
        if ours is None:
            cells += ["none as good", "", ""]
        else:
            cells += [f"{ours['arm']}, {ours['sampler']}", f"{ours['frechet']:.3g}"]
            cells += [f"{row['ratio']:,.3g}"]
        rows.append(cells)
    head = ["setting", "images", "distance", "cheapest of ours as good", "distance", "times faster"]
    return table(head, rows) if rows else ""


def curve_table(report: dict[str, Any]) -> str:
    """Return quality after shares of the training time."""
    num = report["numbers"]["num_curve"]
    floor = report["floors"][str(num)]["mean"]
    rows = [
        [arm, f"{seconds / 60:.1f}", f"{distance:.3g} ({distance / floor:.2f})"]
        for arm, points in curves(report).items()
        for seconds, distance in points
    ]
    return table(["arm", "training [min]", f"distance at {num} (over floor)"], rows)


def goal_line(report: dict[str, Any]) -> str:
    """Return when ours reaches the best of the other packages, in words."""
    goal = report["training_goal"]
    if goal is None:
        return ""
    words = []
    for arm, share in goal.items():
        if arm.startswith("ours"):
            words.append(f"{arm} {'not' if share is None else f'after {share:.3f} of the time'}")
    return (
        f"The best of the other packages after the whole time, {goal['peer']} with "
        f"{goal['sampler']} ({goal['frechet']:.3g} at {goal['num']}), is reached by: "
        f"{', '.join(words)}."
    )


def published_table(report: dict[str, Any]) -> str:
    """Return the scores beside the earlier project's published images, all at 8 bits."""
    found = report["published"]
    if found is None:
        return ""
    floor = found["floor"]
    rows = [
        [
            name,
            distance_cell(row, floor["mean"]),
            f"{100 * row['sky_rms_shift']:+.1f}%",
            f"{100 * row['flux_shift']:+.1f}%",
        ]
        for name, row in found["rows"].items()
    ]
    rows.append(["real against real", floor_cell(floor), "", ""])
    head = ["images", f"distance at {found['num']}, 8 bits (over floor)", "sky rms", "flux"]
    return table(head, rows)
