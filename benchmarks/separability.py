"""How well the classes of a preset can be told apart at 28, 64 and 150 pixels.

    python benchmarks/separability.py --out separability.json

At each size one small convolutional network is trained on simulated images of all classes; the
area under the ROC curve of each pair is that of the difference of its two logits on images it has
not seen. The figures are what this network learns from so many images: a better one may do better.
"""

import argparse
import json
import time
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select
from gravlensdiffusion.simulation.simulated_set import simulate

BATCH = 64
PEAK_RATE = 3e-3
TRAIN_SEED = 101
TEST_SEED = 102


def main() -> None:
    """Train at each size, print a table and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="deeplense")
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 64, 150])
    parser.add_argument("--train", type=int, default=2000, help="training images per class")
    parser.add_argument("--test", type=int, default=1000, help="test images per class")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = [each.name for each in simulation_preset(options.preset).classes]
    report: dict[str, object] = {
        key: value for key, value in vars(options).items() if key not in ("out", "sizes")
    }
    rows: dict[str, dict[str, float]] = {}
    for size in options.sizes:
        start = time.perf_counter()
        images, labels = simulated(options.preset, size, options.train, TRAIN_SEED)
        held_out, truth = simulated(options.preset, size, options.test, TEST_SEED)
        centre, scale = images.mean(), images.std()
        network = train((images - centre) / scale, labels, options.epochs)
        logits = predict(network, (held_out - centre) / scale)
        rows[str(size)] = {
            f"{names[a]}/{names[b]}": pair_auc(logits, truth, a, b)
            for a, b in combinations(range(len(names)), 2)
        }
        minutes = (time.perf_counter() - start) / 60
        print(f"{size} pixels ({minutes:.1f} min): {rows[str(size)]}", flush=True)
        options.out.write_text(json.dumps(report | {"auc": rows}, indent=2) + "\n")
    print_table(rows)


def simulated(preset: str, size: int, num_per_class: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return square roots of peak-scaled images, shape ``(N, 1, size, size)``, and labels."""
    config = select(simulation_preset(preset), size=size)
    records = list(simulate(config, num_per_class * len(config.classes), seed).records())
    images = np.stack([record.image for record in records])
    images /= images.max(axis=(1, 2, 3), keepdims=True)
    labels = torch.tensor([record.label for record in records])
    return torch.from_numpy(images).clamp(min=0).sqrt(), labels


def build(num_classes: int) -> nn.Module:
    """Return a network of four convolutions that takes images of any size."""
    channels = (1, 16, 32, 64, 64)
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    layers[-1] = nn.AdaptiveAvgPool2d(4)
    layers += [nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 16, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, num_classes)).to(memory_format=torch.channels_last)


def train(images: Tensor, labels: Tensor, epochs: int) -> nn.Module:
    """Train on images and the same images turned by 180 degrees, the preset's own symmetry."""
    torch.manual_seed(0)
    network = build(int(labels.max()) + 1)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, epochs * steps)
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for chosen in order[: steps * BATCH].split(BATCH):
            turned = (torch.rand(BATCH) < 0.5)[:, None, None, None]
            batch = torch.where(turned, images[chosen].flip(-1, -2), images[chosen])
            batch = batch.contiguous(memory_format=torch.channels_last)
            loss = nn.functional.cross_entropy(network(batch), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def predict(network: nn.Module, images: Tensor) -> Tensor:
    """Return logits, shape ``(N, classes)``, averaged over each image and its half turn."""
    return torch.cat([network(x) + network(x.flip(-1, -2)) for x in images.split(200)]) / 2


def pair_auc(logits: Tensor, labels: Tensor, first: int, second: int) -> float:
    """Return the area under the ROC curve for telling two classes apart."""
    of_pair = (labels == first) | (labels == second)
    score = (logits[:, second] - logits[:, first])[of_pair]
    return round(float(roc_auc_score((labels[of_pair] == second).numpy(), score.numpy())), 3)


def print_table(rows: dict[str, dict[str, float]]) -> None:
    """Print the areas as a Markdown table."""
    pairs = list(next(iter(rows.values())))
    print(f"| pixels | {' | '.join(pairs)} |\n|---|{'---|' * len(pairs)}")
    for size, row in rows.items():
        print(f"| {size} | {' | '.join(f'{row[pair]:.3f}' for pair in pairs)} |")


if __name__ == "__main__":
    main()
