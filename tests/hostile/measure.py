"""Read a corpus of any size, and write what came of it as JSON and as a table."""

import argparse
import json
import platform
import sys
from collections import Counter, defaultdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.hostile.corpus import SEEDS, cases
from tests.hostile.running import MAX_BYTES, MAX_S, Report, marker, run

BATCH = 2000
"""Files that are there at a time."""
LIBRARIES = ("gravlensdiffusion", "h5py", "numpy", "astropy", "pillow", "torch", "safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="damaged files of each kind")
    parser.add_argument("--out", type=Path, help="JSON file; a table goes beside it as .md")
    options = parser.parse_args()
    whole, has_run = Report(), False
    corpus = cases(options.seeds)
    while batch := list(islice(corpus, BATCH)):
        with TemporaryDirectory() as name:
            report = run(batch, Path(name))
            has_run = has_run or marker(Path(name)).exists()
        whole.results += report.results
        whole.strays += report.strays
        whole.baseline_bytes = report.baseline_bytes
        print(f"{len(whole.results):,} files, {len(whole.bad)} bad", file=sys.stderr, flush=True)
    for result in whole.bad:
        print(result)
    print(*whole.strays, sep="\n", end="")
    found = describe(whole, options.seeds)
    print(table(found))
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=2) + "\n")
        options.out.with_suffix(".md").write_text(table(found))
    return int(bool(whole.bad or whole.strays or has_run))


def describe(report: Report, seeds: int) -> dict[str, object]:
    """Return the numbers of a report."""
    kinds: defaultdict[str, list[int]] = defaultdict(list)
    for k, result in enumerate(report.results):
        kinds[result.case.kind].append(k)
    rows = {}
    for kind, places in kinds.items():
        results = [report.results[k] for k in places]
        counts = Counter(result.outcome for result in results)
        rows[kind] = {
            "files": len(results),
            "read": counts["read"],
            "refused": counts["refused"],
            "broken promises": sum(not result.is_good for result in results),
            "longest_s": round(max(result.seconds for result in results), 2),
            "peak_mib": round(max(result.peak_bytes for result in results) / 2**20),
        }
    return {
        "command": f"python -m tests.hostile.measure --seeds {seeds} --out docs/benchmarks/hostile.json",
        "files": len(report.results),
        "limit_s": MAX_S,
        "limit_mib": MAX_BYTES // 2**20,
        "baseline_mib": round(report.baseline_bytes / 2**20),
        "files_written_elsewhere": len(report.strays),
        "kinds": rows,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def table(found: dict[str, object]) -> str:
    """Return the numbers as a Markdown table."""
    lines = [
        "| format | files | read | refused | crashed, hung or worse | longest [s] | most memory [MiB] |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    kinds = found["kinds"]
    assert isinstance(kinds, dict)
    total: Counter[str] = Counter()
    for kind, row in kinds.items():
        lines.append(_row(kind, row))
        total.update({name: row[name] for name in ("files", "read", "refused", "broken promises")})
    longest = max(row["longest_s"] for row in kinds.values())
    peak = max(row["peak_mib"] for row in kinds.values())
    lines.append(_row("all", {**total, "longest_s": longest, "peak_mib": peak}))
    return "\n".join(lines) + "\n"


def _row(name: str, row: dict[str, float]) -> str:
    values = (row["files"], row["read"], row["refused"], row["broken promises"])
    counts = " | ".join(f"{value:,}" for value in values)
    return f"| {name} | {counts} | {row['longest_s']:.1f} | {row['peak_mib']:,} |"


if __name__ == "__main__":
    sys.exit(main())
