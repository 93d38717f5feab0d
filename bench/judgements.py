"""Judging a sweep by its return series: the crate's example `speed` against numpy, on the same numbers."""

import itertools
import json
import sys
import time

TRIALS, OBSERVATIONS, BLOCKS = 10_000, 2_520, 16


def judgements():
    from cluster import ROOT, RUNS, VENV, note, sh

    sh("cargo", "build", "--release", "--locked", "-q", "-p", "bt-statistics", "--example", "speed", cwd=ROOT)
    size = (TRIALS, OBSERVATIONS, BLOCKS)
    runs = []
    for _ in range(RUNS):
        ours = json.loads(sh(ROOT / "target/release/examples/speed", *size).stdout)
        peer = json.loads(sh(VENV / "python", __file__, *size).stdout)
        if abs(ours["pbo"] - peer["pbo"]) > 1e-9:
            raise SystemExit(f"the PBO is {ours['pbo']} here and {peer['pbo']} with numpy")
        runs.append((ours, peer))
    middle = lambda side, name: sorted(run[side][name] for run in runs)[RUNS // 2]
    what = f"{TRIALS:,} trials of {OBSERVATIONS:,} returns, PBO with {BLOCKS} blocks"
    note(what, middle(0, "pbo_seconds"), ("numpy, by block sums", middle(1, "pbo_seconds")), "s", True)
    note("  moments, block sums, correlations, one trial at a time", middle(0, "collect_seconds"),
         ("numpy, all at once", middle(1, "collect_seconds")), "s", True)
    note("  clusters of 2,000 of them, and other effective numbers", middle(0, "effective_seconds"), None, "s", True)
    note("  peak memory", middle(0, "peak_mib"), ("numpy", middle(1, "peak_mib")), "MiB", True)


def numbers(trials, observations):
    """The numbers of the example: SplitMix64 from seed 1, as uniform ones around 0."""
    import numpy

    state = numpy.arange(1, trials * observations + 1, dtype=numpy.uint64)
    state *= numpy.uint64(0x9E3779B97F4A7C15)
    state += numpy.uint64(1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state ^= state >> numpy.uint64(shift)
        state *= numpy.uint64(factor)
    state ^= state >> numpy.uint64(31)
    uniform = (state >> numpy.uint64(11)).astype(numpy.float64) / 2.0**53 - 0.5
    return uniform.astype(numpy.float32).reshape(trials, observations)


def with_numpy(trials, observations, count):
    import resource

    import numpy

    returns = numbers(trials, observations)
    began = time.monotonic()
    means = returns.mean(axis=1, dtype=numpy.float64)
    centred = returns - means[:, None]
    squares = centred * centred
    deviations = numpy.sqrt(squares.sum(axis=1) / (observations - 1))
    (squares * centred).mean(axis=1), (squares * squares).mean(axis=1)
    common = (centred / deviations[:, None]).sum(axis=0)
    common @ common
    length = observations // count
    dropped = observations - length * count
    blocks = lambda values: values[:, dropped:].reshape(trials, count, length).sum(axis=2).T.copy()
    sums, squares = blocks(centred), blocks(squares)
    collected = time.monotonic()
    n = length * count // 2
    all_sums, all_squares = sums.sum(axis=0), squares.sum(axis=0)
    ratio = lambda sum, square: (means + sum / n) / numpy.sqrt((square - sum * sum / n) / (n - 1))
    overfit = splits = 0
    for chosen in itertools.combinations(range(count), count // 2):
        chosen = list(chosen)
        sum, square = sums[chosen].sum(axis=0), squares[chosen].sum(axis=0)
        best = ratio(sum, square).argmax()
        outside = ratio(all_sums - sum, all_squares - square)
        own = outside[best]
        rank = (outside < own).sum() + ((outside == own).sum() + 1) / 2
        overfit += rank / (trials + 1) <= 0.5
        splits += 1
    print(json.dumps({
        "pbo": float(overfit / splits), "collect_seconds": collected - began, "pbo_seconds": time.monotonic() - collected,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))


if __name__ == "__main__":
    with_numpy(*map(int, sys.argv[1:]))
