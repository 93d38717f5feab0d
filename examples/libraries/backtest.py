"""One backtest of one strategy, by the library that is named.

The strategy holds the stock while the fast moving average of its closing prices is above the slow one, and cash
otherwise; it trades at the close that told it to. Each library does that in its own way, so the numbers are close, not
equal: backtesting begins a day later than the others and sells what is left on the last day, and it and backtrader buy
whole shares only.

Reads a CSV file of daily prices (Open, High, Low, Close, Volume), and leaves in the results directory:

  result.pck    pandas.Series: what the account was worth at the end of each day
  metrics.json  the numbers to rank backtests by: sharpe, return_pct, max_drawdown_pct, trades
"""

import argparse
import json
import math
import pathlib
import warnings

import pandas as pd

CASH = 1_000_000
COMMISSION = 0.002


# Each of these takes the prices and the two windows, and gives the account's worth by day, and how often it bought.
# Only the library that is used is imported: each takes its time, and its memory.


def with_backtesting(prices, fast, slow):
    warnings.filterwarnings("ignore", message="Jupyter Notebook detected")
    from backtesting import Backtest, Strategy

    def sma(values, window):
        return pd.Series(values).rolling(window).mean()

    class SmaCross(Strategy):
        def init(self):
            self.fast_line = self.I(sma, self.data.Close, fast)
            self.slow_line = self.I(sma, self.data.Close, slow)

        def next(self):
            if self.fast_line[-1] > self.slow_line[-1] and not self.position:
                self.buy()
            elif self.fast_line[-1] < self.slow_line[-1] and self.position:
                self.position.close()

    backtest = Backtest(prices, SmaCross, cash=CASH, commission=COMMISSION, trade_on_close=True, finalize_trades=True)
    stats = backtest.run()
    return stats["_equity_curve"]["Equity"], stats["# Trades"]


def with_backtrader(prices, fast, slow):
    import backtrader

    class SmaCross(backtrader.Strategy):
        def __init__(self):
            self.fast_line = backtrader.indicators.SMA(self.data.close, period=fast)
            self.slow_line = backtrader.indicators.SMA(self.data.close, period=slow)
            self.equity = {}
            self.trades = 0

        # Called on the days before there is a slow average.
        def prenext(self):
            self.equity[self.data.datetime.date(0)] = self.broker.getvalue()

        def next(self):
            self.prenext()
            if self.fast_line[0] > self.slow_line[0] and not self.position:
                self.buy(size=int(self.broker.getcash() / (self.data.close[0] * (1 + COMMISSION))))
            elif self.fast_line[0] < self.slow_line[0] and self.position:
                self.close()

        def notify_order(self, order):
            if order.isbuy() and order.status == order.Completed:
                self.trades += 1

    cerebro = backtrader.Cerebro(stdstats=False)
    cerebro.adddata(backtrader.feeds.PandasData(dataname=prices))
    cerebro.addstrategy(SmaCross)
    cerebro.broker.setcash(CASH)
    cerebro.broker.setcommission(COMMISSION)
    cerebro.broker.set_coc(True)
    (strategy,) = cerebro.run()
    return pd.Series(strategy.equity), strategy.trades


def with_bt(prices, fast, slow):
    import bt

    close = prices[["Close"]]
    above = close.rolling(fast).mean() > close.rolling(slow).mean()
    # A weight is set on the days that it changes; on all others nothing is traded.
    weights = above[above.Close != above.Close.shift(fill_value=False)].astype(float)
    strategy = bt.Strategy("sma-cross", [bt.algos.WeighTarget(weights), bt.algos.Rebalance()])
    backtest = bt.Backtest(
        strategy,
        close,
        initial_capital=CASH,
        commissions=lambda quantity, price: abs(quantity) * price * COMMISSION,
        integer_positions=False,
        progress_bar=False,
    )
    result = bt.run(backtest)
    return backtest.strategy.values, (result.get_transactions().quantity > 0).sum()


def with_vectorbt(prices, fast, slow):
    import vectorbt

    fast_line = vectorbt.MA.run(prices.Close, fast)
    slow_line = vectorbt.MA.run(prices.Close, slow)
    portfolio = vectorbt.Portfolio.from_signals(
        prices.Close,
        entries=fast_line.ma_above(slow_line),
        exits=fast_line.ma_below(slow_line),
        init_cash=CASH,
        fees=COMMISSION,
    )
    return portfolio.value(), portfolio.trades.count()


LIBRARIES = {
    "backtesting": with_backtesting,
    "backtrader": with_backtrader,
    "bt": with_bt,
    "vectorbt": with_vectorbt,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", choices=LIBRARIES, required=True, help="what runs the backtest")
    parser.add_argument("--fast", type=int, required=True, help="days of the fast average")
    parser.add_argument("--slow", type=int, required=True, help="days of the slow average")
    parser.add_argument("--prices", default="/data/GOOG.csv", help="CSV file of daily prices")
    parser.add_argument("--results", default="/results", type=pathlib.Path, help="directory to write to")
    args = parser.parse_args()

    prices = pd.read_csv(args.prices, index_col=0, parse_dates=True)
    equity, trades = LIBRARIES[args.library](prices, args.fast, args.slow)

    # The same numbers for all: each library would have its own idea of a Sharpe ratio. bt adds a day before the first.
    equity = pd.Series(equity.to_numpy(float), pd.to_datetime(equity.index), name="equity").loc[prices.index]
    daily = equity.pct_change().dropna()
    metrics = {
        "sharpe": float(daily.mean() / daily.std() * math.sqrt(252)),
        "return_pct": float(equity.iloc[-1] / CASH - 1) * 100,
        "max_drawdown_pct": float((equity / equity.cummax() - 1).min()) * 100,
        "trades": float(trades),
    }
    equity.to_pickle(args.results / "result.pck")
    (args.results / "metrics.json").write_text(json.dumps(metrics))
    print(f"{args.library}, fast {args.fast}, slow {args.slow}: Sharpe ratio {metrics['sharpe']:.3f}")


if __name__ == "__main__":
    main()
