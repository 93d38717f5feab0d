/* Backtests of a moving average crossover, many in one process: `batch` in the manifest.
 *
 * BT_POINTS names a table with a line for each point and tabs between cells; the first line names the columns. Each point
 * leaves its outputs in a directory of its own beside the file that BT_STATUS names. That file gets a line
 * "<point> <exit code>" when they are whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAYS 2000
#define CELLS 16
#define LINE 4096

static double prices[DAYS];

/* The same walk on every machine. */
static void make_prices(void) {
    long long state = 42;
    double price = 100;
    for (int day = 0; day < DAYS; day++) {
        state = state * 16807 % 2147483647;
        price *= 1.0002 + (state / 2147483647.0 - 0.5) * 0.02;
        prices[day] = price;
    }
}

static double average(int day, int days) {
    double sum = 0;
    for (int back = 0; back < days; back++)
        sum += prices[day - back];
    return sum / days;
}

/* The exit code of a point. */
static int backtest(const char *results, const char *point, int fast, int slow) {
    if (fast < 1 || slow >= DAYS || fast >= slow) {
        fprintf(stderr, "fast must be below slow: %d, %d\n", fast, slow);
        return 2;
    }
    double wealth = 1;
    int trades = 0, holds = 0;
    for (int day = slow; day < DAYS; day++) {
        if (holds)
            wealth *= prices[day] / prices[day - 1];
        int wanted = average(day, fast) > average(day, slow);
        trades += wanted != holds;
        holds = wanted;
    }
    char path[2 * LINE + 16];
    snprintf(path, sizeof path, "%s/%s/metrics.json", results, point);
    FILE *file = fopen(path, "w");
    if (!file)
        return 1;
    fprintf(file, "{\"wealth\": %.9f, \"trades\": %d}\n", wealth, trades);
    return fclose(file) == 0 ? 0 : 1;
}

static int split(char *line, char *cells[]) {
    int count = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *cell = line; cell && count < CELLS; count++) {
        cells[count] = cell;
        if ((cell = strchr(cell, '\t')))
            *cell++ = 0;
    }
    return count;
}

int main(void) {
    const char *table = getenv("BT_POINTS"), *status = getenv("BT_STATUS");
    FILE *points = table ? fopen(table, "r") : NULL;
    FILE *ended = status ? fopen(status, "a") : NULL;
    if (!points || !ended) {
        perror("BT_POINTS and BT_STATUS");
        return 1;
    }
    char results[LINE], head[LINE], line[LINE];
    snprintf(results, sizeof results, "%s", status);
    *strrchr(results, '/') = 0;
    char *names[CELLS], *cells[CELLS];
    int columns = fgets(head, sizeof head, points) ? split(head, names) : 0, fast = 0, slow = 0;
    for (int column = 1; column < columns; column++) {
        if (!strcmp(names[column], "fast"))
            fast = column;
        if (!strcmp(names[column], "slow"))
            slow = column;
    }
    if (!fast || !slow) {
        fprintf(stderr, "the points have no fast and slow\n");
        return 1;
    }
    make_prices();
    while (fgets(line, sizeof line, points) && split(line, cells) == columns) {
        printf("::point %s\nfast %s, slow %s\n", cells[0], cells[fast], cells[slow]);
        fflush(stdout);
        int code = backtest(results, cells[0], atoi(cells[fast]), atoi(cells[slow]));
        fprintf(ended, "%s %d\n", cells[0], code);
        fflush(ended);
    }
    return 0;
}
