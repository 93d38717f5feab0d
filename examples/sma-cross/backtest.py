"""One backtest: a crossover of two simple moving averages on daily prices.

Reads a CSV file of daily prices (Open, High, Low, Close, Volume), and leaves in the results directory:

  stats.pkl     pandas.Series: all that backtesting.Backtest.run reports
  trades.pkl    pandas.DataFrame: the trades, one a row
  metrics.json  the numbers to rank backtests by: sharpe, sortino, cagr, max_drawdown, ...; and the account day by day
"""

import argparse
import json
import pathlib
import pickle
import warnings

import pandas as pd

warnings.filterwarnings("ignore", message="Jupyter Notebook detected")
from backtesting import Backtest, Strategy  # noqa: E402
from backtesting.lib import crossover  # noqa: E402


def sma(values, window):
    return pd.Series(values).rolling(window).mean()


class SmaCross(Strategy):
    fast = 10
    slow = 20

    def init(self):
        self.fast_line = self.I(sma, self.data.Close, self.fast)
        self.slow_line = self.I(sma, self.data.Close, self.slow)

    def next(self):
        if crossover(self.fast_line, self.slow_line):
            self.position.close()
            self.buy()
        elif crossover(self.slow_line, self.fast_line):
            self.position.close()
            self.sell()


# The names that sweeps rank by, and what backtesting calls them.
METRICS = {
    "sharpe": "Sharpe Ratio",
    "sortino": "Sortino Ratio",
    "cagr": "CAGR [%]",
    "return": "Return [%]",
    "max_drawdown": "Max. Drawdown [%]",
    "win_rate": "Win Rate [%]",
    "trades": "# Trades",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", type=int, required=True, help="days of the fast average")
    parser.add_argument("--slow", type=int, required=True, help="days of the slow average")
    parser.add_argument("--prices", default="/data/GOOG.csv", help="CSV file of daily prices")
    parser.add_argument("--results", default="/results", type=pathlib.Path, help="directory to write to")
    args = parser.parse_args()

    prices = pd.read_csv(args.prices, index_col=0, parse_dates=True)
    backtest = Backtest(prices, SmaCross, cash=10_000, commission=0.002, finalize_trades=True)
    stats = backtest.run(fast=args.fast, slow=args.slow)

    # What begins with an underscore are objects of this program; only data is left for others to load.
    report = stats[[name for name in stats.index if not name.startswith("_")]]
    for name, value in [("stats", report), ("trades", stats["_trades"])]:
        with open(args.results / f"{name}.pkl", "wb") as out:
            pickle.dump(value, out)
    metrics = {name: float(stats[key]) for name, key in METRICS.items()}
    # The account day by day: what `btctl assess` judges by.
    equity = [[str(day.date()), value] for day, value in stats["_equity_curve"]["Equity"].items()]
    (args.results / "metrics.json").write_text(json.dumps({**metrics, "series": {"equity": equity}}))
    print(f"fast {args.fast}, slow {args.slow}: Sharpe ratio {metrics['sharpe']:.3f}")


if __name__ == "__main__":
    main()
