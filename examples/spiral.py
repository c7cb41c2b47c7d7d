"""A small network learns to tell two spirals apart: no libraries but kleio's logger, and the same numbers everywhere.

kleio python spiral.py --lr 0.1
"""

import argparse
import json
import math
import random

from kleio.client.logger import kleio_logger


def spirals(count, generator):
    """Points (x, y, which of the two spirals)."""
    points = []
    for _ in range(count):
        which, along = generator.random() < 0.5, generator.random() * 3
        angle = along * 1.6 + math.pi * which
        points.append((along * math.cos(angle) / 3, along * math.sin(angle) / 3 + generator.gauss(0, 0.03), float(which)))
    return points


def forward(net, x, y):
    hidden = [math.tanh(a * x + b * y + c) for a, b, c, _ in net]
    return hidden, 1 / (1 + math.exp(-sum(h * unit[3] for h, unit in zip(hidden, net, strict=True))))


def learn(net, points, lr):
    """One step for each point; the mean loss before it."""
    total = 0.0
    for x, y, wanted in points:
        hidden, said = forward(net, x, y)
        total -= math.log(max(said if wanted else 1 - said, 1e-12))
        for h, unit in zip(hidden, net, strict=True):
            inner = (said - wanted) * unit[3] * (1 - h * h)
            unit[3] -= lr * (said - wanted) * h
            unit[0] -= lr * inner * x
            unit[1] -= lr * inner * y
            unit[2] -= lr * inner
    return total / len(points)


def test(net, points):
    """Loss and accuracy."""
    said = [(forward(net, x, y)[1], wanted) for x, y, wanted in points]
    loss = -sum(math.log(max(p if wanted else 1 - p, 1e-12)) for p, wanted in said) / len(said)
    return loss, sum((p > 0.5) == bool(wanted) for p, wanted in said) / len(said)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--hidden", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    generator = random.Random(args.seed)
    train, validation = spirals(80, generator), spirals(80, generator)
    net = [[generator.gauss(0, 2) for _ in range(4)] for _ in range(args.hidden)]
    for epoch in range(1, args.epochs + 1):
        loss = learn(net, train, args.lr)
        val_loss, accuracy = test(net, validation)
        kleio_logger.log_statistic(epoch=epoch, loss=loss, val_loss=val_loss, accuracy=accuracy)
        if epoch % 10 == 0:
            kleio_logger.log_artifact("net.json", json.dumps(net).encode(), epoch=epoch, val_loss=val_loss)
    print(f"accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
