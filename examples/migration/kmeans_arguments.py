"""One k-means, its settings from the command line; without a launcher.

    python examples/migration/kmeans_arguments.py --k 3 --description "as many as there are species"

This is the argparse script of meticulous's README with kleio's calls. The parameters of the trial are what the parser knows,
defaults included; ``--name``, ``--tag``, ``--description``, ``--experiment-id``, ``--resume`` and ``--norecord`` are kleio's.
"""

import argparse

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from kleio.client import Experiment

parser = argparse.ArgumentParser(description="Cluster the irises.")
parser.add_argument("--k", type=int, default=2, help="clusters")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--init", choices=["k-means++", "random"], default="k-means++")
Experiment.add_argument_group(parser)

with Experiment.from_parser(parser) as experiment:
    args = parser.parse_args()
    flowers, species = load_iris(return_X_y=True)
    kmeans = KMeans(n_clusters=args.k, n_init=4, init=args.init, random_state=args.seed).fit(flowers)
    agreement = adjusted_rand_score(species, kmeans.labels_)
    print(f"loss {kmeans.inertia_:.3f}, agreement with the species {agreement:.3f}")
    experiment.summary({"loss": kmeans.inertia_, "agreement": agreement})
    with experiment.open("centroids.npy", "wb") as f:
        np.save(f, kmeans.cluster_centers_)
