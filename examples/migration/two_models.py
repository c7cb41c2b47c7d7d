"""Two models trained side by side, each logging where it happens, and three averages of what they logged.

    kleio python examples/migration/two_models.py

This is the program of rigorous-recorder's README with kleio's calls, and with real models: a logistic regression and a support
vector machine, which learn from one patient at a time. Without kleio it trains as well, shows on stderr what it would log, and
has nothing to read back.
"""

import argparse
from statistics import mean

import numpy as np
from sklearn.datasets import load_breast_cancer

from kleio.client import kleio_logger

FOR_TESTING = 69  # the last so many of 569 patients


def main():
    parser = argparse.ArgumentParser(description="Train two models, and average what they lost.")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--first", type=int, default=500, help="average the losses of so many first steps")
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    patients, labels = load_breast_cancer(return_X_y=True)
    patients, labels = (patients - patients.mean(0)) / patients.std(0), 2 * labels - 1
    order = np.random.default_rng(options.seed).integers(len(labels) - FOR_TESTING, size=options.steps)

    with kleio_logger.scope(experiment=1) as experiment:
        records = {name: experiment.scope(model=name) for name in ("logistic", "hinge")}
        models = {
            "logistic": Logistic(records["logistic"].scope(training=True), patients.shape[1], options.rate),
            "hinge": Hinge(records["hinge"].scope(training=True), patients.shape[1], options.rate),
        }
        for index, one in enumerate(order):
            for model in models.values():
                model.learn(index, patients[one], labels[one])

        for name, model in models.items():
            testing = records[name].scope(testing=True)
            for index in range(len(labels) - FOR_TESTING, len(labels)):
                testing.log_statistic(index=index, accuracy=model.accuracy(patients[index], labels[index]))

        experiment.set(seed=options.seed)  # all of the above have it when they are read

    if kleio_logger.active:
        losses = [one for one in kleio_logger.load_statistic("loss", training=True) if one["index"] < options.first]
        print("first", options.first, "losses of both", mean(one["loss"] for one in losses))
        for name in models:
            print("first", options.first, "losses of", name, mean(one["loss"] for one in losses if one["model"] == name))


class Model:
    """A linear model for two classes, -1 and 1. What it logs of a step is known in two places."""

    def __init__(self, record, features, rate):
        self.record, self.rate = record, rate
        self.weights = np.zeros(features)

    def learn(self, index, patient, label):
        self.record.add(index=index)
        self.weights -= self.rate * self.gradient(patient, label)
        self.record.commit()

    def gradient(self, patient, label):
        margin = label * float(self.weights @ patient)
        self.record.add(loss=self.loss(margin))
        return self.slope(margin) * label * patient

    def accuracy(self, patient, label):
        return float(label * (self.weights @ patient) > 0)


class Logistic(Model):
    def loss(self, margin):
        return float(np.logaddexp(0, -margin))

    def slope(self, margin):
        return -1 / (1 + np.exp(margin))


class Hinge(Model):
    def loss(self, margin):
        return max(0.0, 1 - margin)

    def slope(self, margin):
        return -float(margin < 1)


if __name__ == "__main__":
    main()
