"""Networks trained with each loss, and the certified optimum of the last layer.

For each loss, a network of three convolutions is trained by SGD with that loss.
Then its features are frozen, and the last layer is fitted to a certified
optimum of the same objective on them. The table shows

- the seconds of training,
- the accuracy on the test images, and the objective F on the training images,
  of the last layer as SGD left it,
- its gap: no weights and bias can lower F by more than this share,
- F of the certified layer and its accuracy, with the number of test images
  whose predicted class changes.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor, nn

import softmargin as sm

LAYERS = {
    "cross_entropy": (sm.torch.LinearCrossEntropy, 0.1),
    "squared_hinge": (sm.torch.LinearSquaredHinge, 0.01),
    "hinge": (sm.torch.LinearHinge, 0.02),
}
"""The layer of each loss, and a learning rate for it: the slopes of the hinges are sums over the rivals."""

BATCH = 128


def images(data: sm.Dataset) -> Tensor:
    """Return the pixels as (N, channels, height, width) float32, about -1 to 1."""
    height, width, channels = data.image_shape
    pixels = torch.from_numpy(np.asarray(data.X, np.float32)).reshape(-1, height, width, channels)
    return (pixels / (0.5 * float(data.X.max())) - 1.0).permute(0, 3, 1, 2).contiguous()


def network(n_channels: int) -> nn.Sequential:
    """Return three convolutions that halve the image each, and a mean over what remains: 128 features."""
    layers: list[nn.Module] = []
    for before, after in ((n_channels, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def train(body: nn.Module, head: nn.Module, x: Tensor, y: Tensor, rate: float, reg: float, epochs: int) -> None:
    """Train by SGD; the penalty λΣW² of the last layer is a weight decay of 2λ."""
    groups = [
        {"params": body.parameters(), "weight_decay": 5e-4},
        {"params": [head.weight], "weight_decay": 2.0 * reg},
        {"params": [head.bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    n_steps = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=n_steps)
    body.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            head(body(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def features(body: nn.Module, x: Tensor) -> Tensor:
    """Return the inputs of the last layer."""
    body.eval()
    return torch.cat([body(rows) for rows in x.split(1000)])


def main() -> None:
    """Train, certify and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = "a folder with folders train and test, each with one folder of images per class; by default the digits"
    parser.add_argument("data", nargs="?", default="digits", help=text)
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training images (5)")
    parser.add_argument("--reg", type=float, default=1e-3, help="λ, the factor of ΣW² of the last layer (1e-3)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first weights and of the batches (0)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = sm.load_dataset(options.data)
    y, y_test = (torch.from_numpy(np.unique(part.y, return_inverse=True)[1]) for part in (data, data.test))
    x, x_test = images(data), images(data.test)
    print("loss           seconds accuracy         F      gap    best F accuracy changed")
    for name, (layer, rate) in LAYERS.items():
        torch.manual_seed(options.seed)
        start = time.perf_counter()
        body = network(x.shape[1])
        head = layer(128, len(y.unique()))
        train(body, head, x, y, rate, options.reg, options.epochs)
        seconds = time.perf_counter() - start
        z, z_test = features(body, x), features(body, x_test)
        model = head.to_model(z, y, options.reg)
        gap = head.gap(z, y, model)
        best = layer.from_model(model)
        with torch.no_grad():
            before, after = (each.scores(z_test).argmax(1) for each in (head, best))
        accuracies = [float((found == y_test).double().mean()) for found in (before, after)]
        changed = int((before != after).sum())
        print(
            f"{name:14} {seconds:7.1f} {accuracies[0]:8.4f} {model.lower_bound / (1.0 - gap):9.5f} {gap:8.2%} "
            f"{model.value:9.5f} {accuracies[1]:8.4f} {changed:7,}",
            flush=True,
        )


if __name__ == "__main__":
    main()
