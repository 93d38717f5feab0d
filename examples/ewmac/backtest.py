"""One backtest in the manner of Robert Carver's Systematic Trading: an EWMAC rule on one futures instrument.

  forecast    the difference of two exponential averages of the price (spans FAST and 4 FAST) by the price's volatility, scaled
              so that it is 10 on average, and capped at 20
  position    as many contracts as give a volatility of TARGET a year at a forecast of 10
  buffer      a position is left as it is until it is a tenth of the average position away from the best one, and then moved to
              the edge of that, so that costs stay small

Reads NAME.csv (DATETIME,price) of a directory, and leaves metrics.json with numbers to rank by and the daily returns, and
position.csv. Pandas alone.
"""

import argparse
import json
import pathlib

import numpy as np
import pandas as pd

BUSINESS_DAYS = 256
CAPITAL = 1_000_000
AVERAGE_FORECAST, FORECAST_CAP = 10.0, 20.0
BUFFER = 0.1
# Of each instrument: what one point of a contract is worth, and what it costs to trade a contract, in points.
CONTRACTS = {"BOND": (1000, 0.01), "STOCK": (50, 0.3), "WHEAT": (50, 0.4), "CRUDE": (1000, 0.03)}


def volatility(prices):
    """Of a day's change in points, over about five weeks."""
    return prices.diff().ewm(span=36, min_periods=10).std()


def forecast(prices, fast):
    """Carver's scalars make it 10 on average: 10.6 for a FAST of 2, 7.5 for 4, 5.3 for 8, and so on."""
    raw = prices.ewm(span=fast, min_periods=fast).mean() - prices.ewm(span=4 * fast, min_periods=fast).mean()
    scalar = 10.6 / np.sqrt(fast / 2)
    return (raw / volatility(prices) * scalar).clip(-FORECAST_CAP, FORECAST_CAP)


def buffered(best, average):
    """The position that is held day by day: moved only when it is outside of the buffer, to the edge of it."""
    held = np.zeros(len(best))
    position = 0.0
    for day, (wanted, usual) in enumerate(zip(best, average)):
        if np.isfinite(wanted) and np.isfinite(usual):
            low, high = wanted - BUFFER * usual, wanted + BUFFER * usual
            position = float(round(min(max(position, low), high)))
        held[day] = position
    return held


def backtest(prices, fast, target, point, cost):
    # What a contract moves in a year, in money; how many of them give the volatility that is wanted.
    average = CAPITAL * target / (volatility(prices) * point * np.sqrt(BUSINESS_DAYS))
    best = average * forecast(prices, fast) / AVERAGE_FORECAST
    position = pd.Series(buffered(best.to_numpy(), average.to_numpy()), index=prices.index, name="position")
    trades = position.diff().abs().fillna(0.0)
    # A day earns with the position of the day before, and pays for the trades of the day.
    earned = position.shift(1).fillna(0.0) * prices.diff().fillna(0.0) * point - trades * cost * point
    return earned / CAPITAL, position, trades


def numbers(returns, trades):
    deviation = returns.std()
    account = 1 + returns.cumsum()
    return {
        "sharpe": float(returns.mean() / deviation * np.sqrt(BUSINESS_DAYS)) if deviation > 0 else 0.0,
        "return_a_year": float(returns.mean() * BUSINESS_DAYS),
        "volatility_a_year": float(deviation * np.sqrt(BUSINESS_DAYS)),
        "max_drawdown": float((account / account.cummax() - 1).min()),
        "trades": int((trades > 0).sum()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instrument", required=True, choices=sorted(CONTRACTS))
    parser.add_argument("--fast", type=int, required=True, help="span of the fast average in days")
    parser.add_argument("--target", type=float, default=0.2, help="volatility a year")
    parser.add_argument("--from", dest="start", help="first day that counts; the days before it are for the averages")
    parser.add_argument("--to", dest="end", help="first day that does not count")
    parser.add_argument("--prices", default="/data", type=pathlib.Path, help="directory of NAME.csv")
    parser.add_argument("--results", default="/results", type=pathlib.Path, help="directory to write to")
    args = parser.parse_args()

    prices = pd.read_csv(args.prices / f"{args.instrument}.csv", index_col=0, parse_dates=True)["price"]
    if args.end:
        prices = prices[prices.index < args.end]
    returns, position, trades = backtest(prices, args.fast, args.target, *CONTRACTS[args.instrument])
    if args.start:
        returns, position, trades = (series[series.index >= args.start] for series in (returns, position, trades))
    metrics = numbers(returns, trades)
    series = [[str(day.date()), float(value)] for day, value in returns.items()]
    (args.results / "metrics.json").write_text(json.dumps({**metrics, "series": {"returns": series}}))
    position.to_csv(args.results / "position.csv")
    print(f"{args.instrument} {args.fast}: Sharpe ratio {metrics['sharpe']:.3f}")


if __name__ == "__main__":
    main()
