"""A line is fitted, with a validation after every epoch: statistics of different kinds, in scopes."""

import random

from kleio.client.logger import kleio_logger


def fit():
    generator = random.Random(1)
    points = [(x := generator.random(), 2 * x + 1 + generator.gauss(0, 0.02)) for _ in range(24)]
    slope = shift = 0.0
    with kleio_logger.scope(model="line") as model:
        for epoch in range(3):
            with model.scope(epoch=epoch) as scope:
                for start in range(0, 18, 6):
                    loss = 0.0
                    for x, y in points[start : start + 6]:
                        error = slope * x + shift - y
                        slope, shift, loss = slope - 0.2 * error * x, shift - 0.2 * error, loss + error**2 / 6
                    scope.log_statistic(loss=loss, training=True)
                errors = [abs(slope * x + shift - y) for x, y in points[18:]]
                found = {"loss": sum(one**2 for one in errors) / 6, "accuracy": sum(one < 0.1 for one in errors) / 6}
                scope.log_statistic(val=found, training=False)


if __name__ == "__main__":
    fit()
