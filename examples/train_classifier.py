"""Train a network that knows nothing of this package on lenses that a model draws meanwhile, none of them twice.

python examples/train_classifier.py --steps 600
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader

from gravlensdiffusion import LensDataset, LensGenerator, simulate

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=600, help="batches of 64 images")
parser.add_argument("--test-images", type=int, default=500, help="simulated images to try it on")
parser.add_argument("--workers", type=int, default=1, help="processes that draw")
options = parser.parse_args()

model = LensGenerator.from_pretrained("lens28", device="cpu")
drawn = LensDataset(model, label=("no_sub", "axion"), num_steps=1)
truth = LensDataset(
    simulate("deeplense", options.test_images, size=28, mix=(1, 0, 1), flux_unit="e-/s")
)

# Any network that takes (B, 1, 28, 28) will do: one of timm, say.
layers = [nn.BatchNorm2d(1)]
for width in (32, 64, 64):
    layers += [nn.LazyConv2d(width, 3, padding=1), nn.BatchNorm2d(width)]
    layers += [nn.ReLU(), nn.MaxPool2d(2)]
network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(len(drawn.classes)))
network(drawn[0][0][None])
optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)

batches = DataLoader(drawn, batch_size=64, num_workers=options.workers)
for step, (images, labels) in zip(range(options.steps), batches, strict=False):
    loss = nn.functional.cross_entropy(network(images), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 100 == 0:
        print(f"step {step}: loss {loss:.3f}")

network.eval()
with torch.no_grad():
    hits = torch.cat([network(x).argmax(1) == y for x, y in DataLoader(truth, batch_size=100)])
print(
    f"{hits.float().mean():.1%} of {len(truth)} simulated lenses recognised; half of them by chance"
)
