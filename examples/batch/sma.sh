#!/bin/sh
# The same backtests as in sma.c, by a shell script: `batch` in the manifest. It reads BT_POINTS, a table with tabs between
# cells, and writes a line "<point> <exit code>" to BT_STATUS when the outputs of a point are whole.
results=${BT_STATUS%/*}

backtest() { # POINT FAST SLOW
    if [ "$2" -ge "$3" ]; then
        echo "fast must be below slow: $2, $3" >&2
        return 2
    fi
    awk -v fast="$2" -v slow="$3" '
        function average(day, days,    back, sum) {
            sum = 0
            for (back = 0; back < days; back++) sum += prices[day - back]
            return sum / days
        }
        BEGIN {
            state = 42; price = 100; days = 2000
            for (day = 0; day < days; day++) {
                state = state * 16807 % 2147483647
                price *= 1.0002 + (state / 2147483647 - 0.5) * 0.02
                prices[day] = price
            }
            wealth = 1; trades = 0; holds = 0
            for (day = slow; day < days; day++) {
                if (holds) wealth *= prices[day] / prices[day - 1]
                wanted = average(day, fast) > average(day, slow)
                trades += wanted != holds
                holds = wanted
            }
            printf "{\"wealth\": %.9f, \"trades\": %d}\n", wealth, trades
        }' >"$results/$1/metrics.json"
}

{
    # The columns are in the order in which the manifest has the parameters.
    read -r _names
    while IFS='	' read -r point fast slow; do
        echo "::point $point"
        echo "fast $fast, slow $slow"
        backtest "$point" "$fast" "$slow"
        echo "$point $?" >>"$BT_STATUS"
    done
} <"$BT_POINTS"
