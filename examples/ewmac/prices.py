"""Synthetic daily prices of four futures, the same for everyone: CSV files DATETIME,price in a directory.

They are made up, so that anyone may have them, and so that the answer is known. From seed 20240101:

  BOND, WHEAT   a random walk: no rule earns anything there but by luck
  STOCK, CRUDE  a random walk around a drift that turns slowly: rules that follow trends earn something

Each has 2,600 business days from 2014-01-01 on. Volatility comes and goes, as that of real prices does.
"""

import pathlib
import sys

import numpy as np
import pandas as pd

SEED = 20240101
DAYS = 2600
# First price, volatility a year, and how strong the drift is beside the volatility (a Sharpe ratio a year).
INSTRUMENTS = {"BOND": (120.0, 0.06, 0.0), "STOCK": (2000.0, 0.18, 1.2), "WHEAT": (550.0, 0.28, 0.0), "CRUDE": (70.0, 0.32, 1.0)}
# Days until half of a drift is forgotten, and half of a calm or a storm.
DRIFT_LASTS, STORM_LASTS = 120, 20


def autoregressive(random, days, half_life):
    """A series of mean 0 and deviation 1 that forgets half of itself in so many days."""
    keep = 0.5 ** (1 / half_life)
    noise = random.standard_normal(days) * np.sqrt(1 - keep**2)
    series = np.empty(days)
    value = random.standard_normal()
    for day in range(days):
        value = keep * value + noise[day]
        series[day] = value
    return series


def prices(number, first, volatility, strength):
    random = np.random.default_rng([SEED, number])
    daily = volatility / 16
    storms = np.exp(0.4 * autoregressive(random, DAYS, STORM_LASTS) - 0.08)
    drift = strength / 16 * autoregressive(random, DAYS, DRIFT_LASTS)
    returns = daily * storms * (random.standard_normal(DAYS) + drift)
    return first * np.exp(np.cumsum(returns))


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    days = pd.bdate_range("2014-01-01", periods=DAYS, name="DATETIME")
    for number, (name, given) in enumerate(INSTRUMENTS.items()):
        table = pd.Series(prices(number, *given), index=days, name="price").round(4)
        table.to_csv(directory / f"{name}.csv")


if __name__ == "__main__":
    main()
