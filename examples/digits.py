"""Train a small neural network on the UCI handwritten digits, and continue exactly after an interruption.

    kleio python examples/digits.py --lr 0.1

Stop it at any time and run the same command again: it goes on from its last checkpoint, and ends with the very numbers
that an uninterrupted run ends with. Without kleio it trains as well, from the start each time.
"""

import argparse
import io
import json
import time

import numpy as np
from sklearn.datasets import load_digits

from kleio.client.logger import kleio_logger

MOMENTUM = 0.9
TRAINING = 1437  # the first so many of the 1,797 images; the others are for testing


def main():
    options = parse()
    images, labels = load_digits(return_X_y=True)
    images = images / 16  # 64 pixels each, from 0 to 1
    training, training_labels = shifted(images[:TRAINING]), np.tile(labels[:TRAINING], 9)
    testing, testing_labels = images[TRAINING:], labels[TRAINING:]

    rng = np.random.default_rng(options.seed)
    weights = {
        "hidden": rng.normal(0, np.sqrt(2 / 64), (64, options.hidden)),
        "hidden_bias": np.zeros(options.hidden),
        "output": rng.normal(0, np.sqrt(1 / options.hidden), (options.hidden, 10)),
        "output_bias": np.zeros(10),
    }
    velocity = {name: np.zeros_like(value) for name, value in weights.items()}
    done = 0

    checkpoint = kleio_logger.resume_from(kleio_logger.latest_artifact("checkpoint.npz"))
    if checkpoint:
        done = restore(checkpoint, weights, velocity, rng)
        print(f"continuing after epoch {done}", flush=True)

    for epoch in range(done + 1, options.epochs + 1):
        began = time.perf_counter()
        losses = []
        for batch in np.array_split(rng.permutation(len(training)), len(training) // options.batch_size):
            loss, gradients = gradients_of(weights, training[batch], training_labels[batch])
            losses.append(loss)
            for name, gradient in gradients.items():
                velocity[name] = MOMENTUM * velocity[name] - options.lr * gradient
                weights[name] += velocity[name]
        loss = float(np.mean(losses))
        accuracy = float(np.mean(predict(weights, testing)[1].argmax(1) == testing_labels))
        took = time.perf_counter() - began

        print(f"epoch {epoch:3d}/{options.epochs}  loss {loss:.4f}  accuracy {accuracy:.4f}  ({took:.2f} s)", flush=True)
        kleio_logger.log_statistic(epoch=epoch, loss=loss, accuracy=accuracy)
        kleio_logger.log_artifact("checkpoint.npz", state_after(epoch, weights, velocity, rng), epoch=epoch)


def shifted(images):
    """The images as they are, and moved by one pixel in each of the eight directions."""
    framed = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    return np.concatenate([framed[:, y : y + 8, x : x + 8].reshape(-1, 64) for y in range(3) for x in range(3)])


def predict(weights, images):
    """The hidden layer's activations, and the probability of each digit."""
    hidden = np.maximum(images @ weights["hidden"] + weights["hidden_bias"], 0)
    scores = hidden @ weights["output"] + weights["output_bias"]
    odds = np.exp(scores - scores.max(1, keepdims=True))
    return hidden, odds / odds.sum(1, keepdims=True)


def gradients_of(weights, images, labels):
    """The mean cross-entropy of a batch, and its gradients."""
    hidden, probabilities = predict(weights, images)
    rows = np.arange(len(labels))
    loss = -np.log(probabilities[rows, labels] + 1e-12).mean()
    errors = probabilities
    errors[rows, labels] -= 1
    errors /= len(labels)
    back = errors @ weights["output"].T * (hidden > 0)
    return loss, {
        "hidden": images.T @ back,
        "hidden_bias": back.sum(0),
        "output": hidden.T @ errors,
        "output_bias": errors.sum(0),
    }


def state_after(epoch, weights, velocity, rng):
    """All that the next epoch depends on, as the bytes of an .npz file."""
    arrays = {f"weights/{name}": value for name, value in weights.items()}
    arrays |= {f"velocity/{name}": value for name, value in velocity.items()}
    file = io.BytesIO()
    np.savez(file, epoch=epoch, rng=json.dumps(rng.bit_generator.state), **arrays)
    return file.getvalue()


def restore(artifact, weights, velocity, rng):
    """Put what :func:`state_after` saved back in place. Returns the epoch it was saved after."""
    with artifact.open() as file, np.load(file) as saved:
        for name in weights:
            weights[name] = saved[f"weights/{name}"]
            velocity[name] = saved[f"velocity/{name}"]
        rng.bit_generator.state = json.loads(saved["rng"].item())
        return int(saved["epoch"])


def parse():
    parser = argparse.ArgumentParser(description="Train a small neural network on handwritten digits.")
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the data (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="images a step (default: %(default)s)")
    parser.add_argument("--hidden", type=int, default=512, help="units of the hidden layer (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and batches (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
