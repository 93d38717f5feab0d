"""The peers' no-op tasks: Celery with Redis, and Dask, at their fastest settings on one machine."""

import sys
import time

from celery import Celery

app = Celery("tasks", broker="redis://127.0.0.1:7698/0", backend="redis://127.0.0.1:7698/1")
app.conf.update(worker_prefetch_multiplier=64, task_acks_late=False, result_expires=600)


@app.task
def noop(n):
    return n


def celery(count):
    from celery import group

    began = time.monotonic()
    group(noop.s(n) for n in range(count)).apply_async().get(timeout=600)
    return count / (time.monotonic() - began)


def identity(n):
    return n


def dask(count):
    from dask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            client.submit(identity, -1, pure=False).result()
            began = time.monotonic()
            client.gather(client.map(identity, range(count), pure=False))
            return count / (time.monotonic() - began)


if __name__ == "__main__":
    print({"celery": celery, "dask": dask}[sys.argv[1]](int(sys.argv[2])))
