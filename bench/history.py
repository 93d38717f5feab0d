"""What ten million jobs that ended long ago cost the jobs of today: the same calls on a database with them, and on an empty one."""

import statistics
import time

OLD_SWEEPS, JOBS_EACH = 1_000, 10_000
JOBS = 20_000
CALLS = 20

# One finished sweep, which is copied: a table, and the columns that tell one copy from the other.
COPIED = {
    "sweeps": {"id": "old.sweep", "name": "old.name", "idempotency_key": "old.sweep::text", "created_at": "old.at"},
    "sweep_counts": {"sweep_id": "old.sweep"},
    "jobs": {"sweep_id": "old.sweep"},
    "attempts": {"id": "md5(old.sweep::text || t.id)::uuid", "sweep_id": "old.sweep"},
    "results": {"sweep_id": "old.sweep", "attempt_id": "md5(old.sweep::text || t.attempt_id)::uuid"},
    "sweep_best": {"sweep_id": "old.sweep"},
    "sweep_samples": {"sweep_id": "old.sweep"},
}


def history():
    from cluster import SIMULATED, Cluster, note, sql

    with Cluster(10, *SIMULATED, "--cpus", 16, place="on the disk") as cluster:
        few = figures(cluster)
        cluster.run(JOBS_EACH, "--name", "old", "--image", "x", "--", "x")
        cluster.wait(cluster.settled)
        began = time.monotonic()
        copy(cluster.database)
        old = int(sql("select count(*) from jobs", cluster.database))
        size = sql("select pg_size_pretty(pg_database_size(current_database()))", cluster.database)
        print(f"  {old:,} old jobs were made in {time.monotonic() - began:,.0f} s; the database has {size}", flush=True)
        many = figures(cluster)
    for (what, unit, without), (_, _, figure) in zip(few, many):
        note(f"{what}, {old:,} old jobs", figure, ("none", without), unit, unit == "ms")


def copy(database):
    """Copies the sweep `old` as often as wanted. Foreign keys are not looked at: the copies are as true as what they copy."""
    from cluster import sql

    sql(f"create table old as select gen_random_uuid() as sweep, 'old-' || n as name, now() - n * interval '1 hour' as at "
        f"from generate_series(1, {OLD_SWEEPS}) n", database)
    first = sql("select id from sweeps where name = 'old'", database)
    for table, changed in COPIED.items():
        of = "id" if table == "sweeps" else "sweep_id"
        names = sql("select string_agg(quote_ident(column_name), ',' order by ordinal_position) from "
                    f"information_schema.columns where table_schema = 'public' and table_name = '{table}' and is_generated = 'NEVER'", database).split(",")
        values = ", ".join(changed.get(name, f"t.{name}") for name in names)
        sql(f"set session_replication_role = replica; insert into {table} ({', '.join(names)}) "
            f"select {values} from old, {table} t where t.{of} = '{first}'", database)
    sql("drop table old", database)
    sql("vacuum analyze", database)


def figures(cluster):
    """What is asked often: (what, unit, figure)."""
    flags = ("--image", "x", "--", "x")
    cluster.run(1_000, *flags)
    rate = statistics.median(cluster.run(JOBS, *flags) for _ in range(3))

    def took(*args):
        times = []
        for _ in range(CALLS):
            began = time.monotonic()
            cluster.btctl(*args)
            times.append((time.monotonic() - began) * 1000)
        return statistics.median(times)

    sweep = cluster.json("ls", "--all", "-n", 1)[0]["id"]
    return [
        ("no-op jobs", "job/s", rate),
        ("submit of a job", "ms", took("submit", "--image", "x", "--cpus", "1000", "--", "x")),
        ("btctl ls --all", "ms", took("ls", "--all")),
        ("btctl show", "ms", took("show", sweep)),
        ("btctl agents ls", "ms", took("agents", "ls")),
    ]
