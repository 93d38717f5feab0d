"""One backtest within dates: a crossover of two simple moving averages on daily prices, as a walk-forward needs it.

It trades from --start (inclusive) to --end (exclusive) only; the averages know the days before. The results directory gets

  metrics.json  sharpe (a year), observations, periods_per_year, and the daily returns as a series
"""

import argparse
import json
import math
import pathlib
import warnings

import pandas as pd

warnings.filterwarnings("ignore", message="Jupyter Notebook detected")
from backtesting import Backtest, Strategy  # noqa: E402
from backtesting.lib import crossover  # noqa: E402

PERIODS_PER_YEAR = 252


def sma(values, window):
    return pd.Series(values).rolling(window).mean()


class SmaCross(Strategy):
    fast = 10
    slow = 20
    start = None

    def init(self):
        self.fast_line = self.I(sma, self.data.Close, self.fast)
        self.slow_line = self.I(sma, self.data.Close, self.slow)

    def next(self):
        if self.data.index[-1] < self.start:
            return
        if crossover(self.fast_line, self.slow_line):
            self.position.close()
            self.buy()
        elif crossover(self.slow_line, self.fast_line):
            self.position.close()
            self.sell()


def daily_returns(prices, fast, slow, start, end):
    """The returns of each day from `start` on and before `end`, by date."""
    start, end = pd.Timestamp(start), pd.Timestamp(end)
    # Nothing of what comes after is seen; of what comes before, as much as the averages need.
    known = prices[prices.index < end]
    first = max(known.index.searchsorted(start) - slow - 1, 0)
    backtest = Backtest(known.iloc[first:], SmaCross, cash=10_000, commission=0.002, finalize_trades=True)
    stats = backtest.run(fast=fast, slow=slow, start=start)
    returns = stats["_equity_curve"]["Equity"].pct_change()
    returns = returns[(returns.index >= start) & (returns.index < end)].fillna(0.0)
    return [(day.strftime("%Y-%m-%d"), float(value)) for day, value in returns.items()]


def sharpe(returns):
    values = [value for _, value in returns]
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean / math.sqrt(variance) * math.sqrt(PERIODS_PER_YEAR) if variance > 0 else float("nan")


def read_prices(path):
    return pd.read_csv(path, index_col=0, parse_dates=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", type=int, required=True, help="days of the fast average")
    parser.add_argument("--slow", type=int, required=True, help="days of the slow average")
    parser.add_argument("--start", required=True, help="first day to trade")
    parser.add_argument("--end", required=True, help="day after the last one")
    parser.add_argument("--prices", default="/data/GOOG.csv", help="CSV file of daily prices")
    parser.add_argument("--results", default="/results", type=pathlib.Path, help="directory to write to")
    args = parser.parse_args()

    returns = daily_returns(read_prices(args.prices), args.fast, args.slow, args.start, args.end)
    metrics = {
        "sharpe": sharpe(returns),
        "observations": len(returns),
        "periods_per_year": PERIODS_PER_YEAR,
        "series": {"returns": returns},
    }
    (args.results / "metrics.json").write_text(json.dumps(metrics))
    print(f"fast {args.fast}, slow {args.slow}, {args.start} to {args.end}: Sharpe ratio {metrics['sharpe']:.3f}")


if __name__ == "__main__":
    main()
