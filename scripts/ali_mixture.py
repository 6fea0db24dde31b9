"""Trains ALI on 25 Gaussians in the plane and counts how many of them its samples cover (the paper's toy).

    python scripts/ali_mixture.py [--seeds 5] [--kimg 500] [--lr 1e-4] [--device cpu] [--fast]

The data are 100,000 points of the grid {-4, -2, 0, 2, 4}^2, standard deviation 0.05. A seed's 10,000 samples
are each assigned to the most likely Gaussian, which is the nearest; one that gets none is dropped. The paper
trains for 20,000 kimg (200 epochs) and covers 13.4 +- 5.8 of 25 over 10 runs, a GAN 10.4 +- 9.2.

Samples that lie all over the plane cover every mode: the count means something only where most samples are
near a mode, so that share is printed beside it. A run of 150 kimg (--lr 1e-3, five seeds) is far too short:
24.4 +- 0.5 modes, but 1 to 3 % of the samples within 3 deviations of one, as if they were uniform.
"""

import argparse
import statistics
import time

from bigan.metrics.mixture import MEANS, covered, points, train
from bigan.systems import ali

__all__ = ["covered", "main", "points", "train"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kimg", type=float, default=500.0, help="thousands of points seen in a run")
    parser.add_argument(
        "--lr", type=float, default=ali.MIXTURE.lr, help="more for a run much shorter than theirs"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fast", action="store_true", help="one backward for both players, fused Adam")
    args = parser.parse_args()
    found = []
    for seed in range(args.first, args.first + args.seeds):
        begun = time.perf_counter()
        modes, near, error = train(seed, args.kimg, args.lr, args.device, args.fast)
        found.append(modes)
        seconds = time.perf_counter() - begun
        print(
            f"seed {seed}: {modes} of {len(MEANS)} modes, {near:.0%} of samples within 3 deviations of one, "
            f"reconstruction error {error:.2f}, {seconds:.0f} s",
            flush=True,
        )
    spread = f" +- {statistics.stdev(found):.1f}" if len(found) > 1 else ""
    print(
        f"{statistics.mean(found):.1f}{spread} modes of {len(MEANS)}; {len(found)} seeds, {args.kimg:g} kimg"
    )


if __name__ == "__main__":
    main()
