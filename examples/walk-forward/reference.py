"""The same walk-forward in one process, without btctl: what sweep.yaml must come to, as JSON."""

import json
import math
import sys

import pandas as pd

import backtest

FAST, SLOW = [10, 20], [40, 80]
TRAIN, TEST = pd.DateOffset(years=3), pd.DateOffset(months=6)
FROM, TO = pd.Timestamp("2005-01-01"), pd.Timestamp("2013-01-01")


def main():
    prices = backtest.read_prices(sys.argv[1])
    windows, curve, equity = [], [], 1.0
    number = 0
    while True:
        start = FROM + number * pd.DateOffset(months=6)
        test_start = start + TRAIN
        test_end = test_start + TEST
        if test_end > TO:
            break
        best = None
        for fast in FAST:
            for slow in SLOW:
                score = backtest.sharpe(backtest.daily_returns(prices, fast, slow, start, test_start))
                if best is None or score > best[0]:
                    best = (score, fast, slow)
        returns = backtest.daily_returns(prices, best[1], best[2], test_start, test_end)
        windows.append({"fast": best[1], "slow": best[2], "in_sample": best[0], "out_of_sample": backtest.sharpe(returns)})
        for day, value in returns:
            equity = equity * (1.0 + value)
            curve.append([day, value, equity])
        number += 1
    total = 0.0
    for _, value, _ in curve:
        total = total + value
    mean = total / len(curve)
    squares = 0.0
    for _, value, _ in curve:
        squares = squares + (value - mean) * (value - mean)
    per_day = mean / math.sqrt(squares / (len(curve) - 1))
    peak, drawdown = 1.0, 0.0
    for _, _, value in curve:
        peak = max(peak, value)
        drawdown = min(drawdown, value / peak - 1.0)
    stitched = {
        "curve": curve,
        "total_return": curve[-1][2] - 1.0,
        "sharpe": per_day,
        "annual_sharpe": per_day * math.sqrt(backtest.PERIODS_PER_YEAR),
        "max_drawdown": drawdown,
    }
    print(json.dumps({"windows": windows, "stitched": stitched}))


if __name__ == "__main__":
    main()
