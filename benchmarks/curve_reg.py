"""The accuracy that a learning curve loses because it selects one λ for all numbers of shots.

    python benchmarks/curve_reg.py FILE.npz [--loss LOSS] [--repeats N] [--shots LIST]

The λ of `softmargin.learning_curve` is compared with the best of a grid around it, by the mean test accuracy of
the same subsets. The best is selected by the test samples themselves, so its accuracy is an upper limit.
"""

import argparse

import numpy as np

import softmargin as sm

FACTORS = 10.0 ** np.arange(-1.0, 2.1, 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--loss", default="cross_entropy")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shots", default="1,2,4,8,16,32,100")
    options = parser.parse_args()
    data = sm.load_dataset(options.data)
    shots = [int(word) for word in options.shots.split(",")]
    settings = {"loss": options.loss, "repeats": options.repeats}
    test = (data.test.X, data.test.y)
    found = sm.learning_curve(data.X, data.y, *test, shots=shots, **settings).curves[0].points
    print("shots  selected λ  accuracy  best λ    accuracy  difference")
    for point in found:
        tried = {}
        for factor in FACTORS:
            reg = point.reg * float(factor)
            again = sm.learning_curve(data.X, data.y, *test, shots=[point.shots], reg=reg, **settings)
            tried[reg] = again.curves[0].points[0].mean
        best = max(tried, key=tried.get)
        lost = tried[best] - point.mean
        mine = f"{point.shots:5}  {point.reg:10.2e}  {point.mean:8.4f}"
        print(f"{mine}  {best:8.2e}  {tried[best]:8.4f}  {lost:10.4f}", flush=True)


if __name__ == "__main__":
    main()
