"""A file whose name leads back to the run that made it, whether kleio stood before the command or not.

    python examples/migration/tracked_results.py --optimizer exact
    kleio trace results/waves_*.txt

This is the example of LiteTracer's README with kleio's calls: the parser is the standard one, and ``args`` has a ``hash_code``.
"""

import os

import numpy as np

from kleio.client.argparse import ArgumentParser

parser = ArgumentParser(description="Fit three waves to noise.")
parser.add_argument("--data_name", default="waves")
parser.add_argument("--optimizer", choices=["sgd", "exact"], default="sgd")
parser.add_argument("--bsz", type=int, default=512, help="points")
parser.add_argument("--note", default="")
parser.add_argument("--result_folder", default="results")
args = parser.parse_args()

result_path = os.path.join(args.result_folder, f"{args.data_name}_{args.hash_code}.txt")
os.makedirs(args.result_folder, exist_ok=True)

rng = np.random.default_rng(0)
waves = np.sin(np.outer(np.linspace(0, 20, args.bsz), [1, 2, 3]))
noisy = waves @ [1.0, -0.5, 0.25] + rng.normal(0, 0.1, args.bsz)

weights = np.zeros(3)
if args.optimizer == "exact":
    weights = np.linalg.lstsq(waves, noisy, rcond=None)[0]
else:
    for one in rng.integers(args.bsz, size=5000):
        weights += 0.01 * (noisy[one] - waves[one] @ weights) * waves[one]

with open(result_path, "w") as file:
    np.savetxt(file, weights, header=f"mean square {np.mean((noisy - waves @ weights) ** 2):.5f}")
print(result_path)
