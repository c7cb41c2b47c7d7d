"""How many clusters? One trial for each number of them, all in one script and without a launcher.

    python examples/migration/kmeans.py
    kleio ls --tag kmeans

This is the loop of meticulous's README with kleio's calls. What is printed inside the ``with`` is recorded. A fit that fails is
recorded as broken, and the next one goes on.
"""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

from kleio.client import Experiment

flowers = load_iris().data

for k in range(1, 10):
    with Experiment({"k": k}, tags=["kmeans"]) as experiment:
        print(f"{k} clusters")
        kmeans = KMeans(n_clusters=k, n_init=4, random_state=0).fit(flowers)
        experiment.summary({"loss": kmeans.inertia_})
        with experiment.open("centroids.npy", "wb") as f:
            np.save(f, kmeans.cluster_centers_)
        print(f"loss {kmeans.inertia_:.3f}")
