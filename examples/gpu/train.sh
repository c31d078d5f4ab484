#!/usr/bin/env bash
# Trains lens64 or lens150 on a machine without a network that has Python, PyTorch and CUDA.
#
#   tar -xf gpu-bundle.tar.xz && gpu-bundle/train.sh lens150
#
# One call ends within PIECE_S seconds. Call it again until it says that the model is trained: it
# goes on where it was. What it makes lies in WORK; WORK/weights/ is what to carry back.
# From weights that exist: INIT=lens150 (bundled), or the path of a folder with weights. A run that
# has begun ignores it.
set -euo pipefail

preset=${1:?which preset: lens64 or lens150}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=${WORK:-$PWD/gpu-run}/$preset
PYTHON=${PYTHON:-python3}
PIECE_S=${PIECE_S:-500}          # seconds that one call may take; half a minute more if it hangs
NUM=${NUM:-60000}                # simulated training images
SEED=${SEED:-4000}               # their seed
JOBS=${JOBS:-$(nproc)}           # processes that simulate
DEVICE=${DEVICE:-cuda}
PRECISION=${PRECISION:-bf16}
FLAGS=${FLAGS:-}                 # more for gravlens train: --epochs 8 --batch-size 256 --compile
case $preset in
    lens64) size=(--size 64) ;;
    lens150) size=() ;;
    *) echo "train.sh: no preset '$preset' here, lens64 or lens150" >&2; exit 2 ;;
esac

begin=$SECONDS
left() { echo $((PIECE_S - SECONDS + begin)); }

mkdir -p "$WORK"
export MPLCONFIGDIR="$WORK" OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# The environment sees the PyTorch of the machine, and takes all else from the bundle.
venv=$WORK/../venv
if [ ! -e "$venv/ready" ]; then
    "$PYTHON" -m venv --clear --system-site-packages "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
        --ignore-installed "$here"/wheels/*.whl
    touch "$venv/ready"
fi
gravlens=$venv/bin/gravlens

data=$WORK/train.h5
if [ ! -e "$data" ]; then
    echo "simulating $NUM images with $JOBS processes"
    "$gravlens" simulate --preset deeplense --num "$NUM" --seed "$SEED" "${size[@]}" \
        --noise-free --flux-unit e-/s --jobs "$JOBS" --out "$data"
fi

if [ "$(left)" -lt "${MIN_S:-60}" ]; then
    echo "simulated; call again to train"
    exit 0
fi
status=0
# SIGTERM saves; the exit status is then 124 from timeout.
# shellcheck disable=SC2086
timeout -s TERM -k 30 "$(left)" "$gravlens" train --preset "$preset" --data "$data" \
    --out "$WORK/run" --device "$DEVICE" --precision "$PRECISION" ${INIT:+--init "$INIT"} $FLAGS ||
    status=$?
case $status in
    0) said="trained" ;;
    124 | 143) said="not done yet; call again to go on" ;;
    *) exit "$status" ;;
esac

"$venv/bin/python" - "$WORK" <<'END'
import shutil
import sys
from pathlib import Path

from gravlensdiffusion.model.checkpoint import load_model, save_model
from gravlensdiffusion.model.folders import checkpoints

work = Path(sys.argv[1])
if checkpoints(work / "run"):
    shutil.rmtree(work / "weights.new", ignore_errors=True)
    save_model(work / "weights.new", load_model(work / "run"), half=True)
    shutil.rmtree(work / "weights", ignore_errors=True)
    (work / "weights.new").rename(work / "weights")
    size = (work / "weights" / "model.safetensors").stat().st_size
    print(f"wrote {work / 'weights'}, {size / 2**20:.1f} MiB")
END
echo "$said"
