"""A throwaway script whose figures say what drew them.

    python examples/migration/footsteps_plot.py
    kleio --name valley python examples/migration/footsteps_plot.py

This is the program of footsteps's README with kleio's calls. The files go to a directory of their own under ``results/``, next
to an ``info.txt`` with the command, the commit and the uncommitted changes; under kleio they are in the journal, too.
"""

import matplotlib

matplotlib.use("Agg")  # no window

import matplotlib.pyplot as plt
import numpy as np

from kleio.client import output_dir, plot

place, velocity, path = np.array([-1.5, 2.0]), np.zeros(2), []
for _ in range(400):  # down the valley of Rosenbrock's function
    x, y = place
    slope = np.array([2 * (x - 1) - 400 * x * (y - x * x), 200 * (y - x * x)])
    velocity = 0.9 * velocity - 0.0003 * slope
    path.append(place)
    place = place + velocity
path = np.array(path)

plt.semilogy((1 - path[:, 0]) ** 2 + 100 * (path[:, 1] - path[:, 0] ** 2) ** 2)
plot("loss")  # 0001-loss.png

plt.plot(path[:, 0], path[:, 1])
plot("path through the valley")  # 0002-path through the valley.png

with open(output_dir + "path.csv", "w") as file:
    np.savetxt(file, path, delimiter=",")
