"""One behaviour of an interpreter by name: `cases.py NAME`. What it prints, leaves and ends with must be the same in a fork."""

import os
import sys

name = sys.argv[1]


def state():
    """What a program can see of how it was started."""
    import signal

    print(sys.argv, sys.orig_argv, __name__, __file__, __builtins__ is not None, __doc__[:9], __spec__, __package__)
    print(sys.path, sys.flags, os.getcwd(), sys.executable, sys.modules["__main__"].__dict__ is globals())
    print(sorted(k for k in os.environ), os.environ["ROW"], os.getenv("BT_PARAM_NAME"))
    print([signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE)])
    print(os.umask(0o22), os.isatty(0), sys.stdin.read() == "", sys.stdout.line_buffering)
    print(sorted(os.listdir("/tmp")), sorted(os.listdir("/dev/shm")), sorted(os.listdir("/results")))
    print(open(os.devnull).fileno(), sys.getrecursionlimit(), sys.gettrace(), type(__loader__).__name__)


def traceback():
    def inner():
        try:
            {}["missing"]
        except KeyError as error:
            raise ValueError("seen") from error

    inner()


def exits_with_text():
    sys.exit("the text of an exit")


def exits_with_number():
    sys.exit(300)


def exits_at_once():
    print("not flushed, but unbuffered", end="")
    os._exit(7)


def dies_by_signal():
    os.kill(os.getpid(), 15)


def is_interrupted():
    raise KeyboardInterrupt


def crashes():
    import ctypes

    ctypes.string_at(0)


def recursion():
    def deeper(n):
        return deeper(n + 1)

    try:
        deeper(0)
    except RecursionError as error:
        print(error)
    sys.setrecursionlimit(10_000_000)
    deeper(0)


def hooks():
    import atexit

    def hook(kind, value, trace):
        print("hook", kind, value, trace.tb_frame.f_code.co_name, trace.tb_lineno)

    sys.excepthook = hook
    atexit.register(print, "first registered, last run")
    atexit.register(print, "last registered, first run")
    raise RuntimeError("hooked")


def leaves_files_open():
    global kept
    kept = open("/results/kept", "w")
    kept.write("never closed")
    kept.cycle = [kept]
    raw = open("/results/raw", "wb", buffering=0)
    raw.write(b"raw")


def proxies():
    import weakref

    class Thing:
        pass

    global kept
    kept = weakref.proxy(Thing())


def finalizes():
    global thing

    class Thing:
        def __del__(self, write=os.write):
            write(1, b"finalized\n")

    thing = Thing()


def threads():
    import threading
    import time

    def late():
        time.sleep(0.3)
        print("a thread is waited for")

    threading.Thread(target=late).start()
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def square(n):
    return n * n


def forks():
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(square, range(5)))


def spawns():
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(square, range(5)))


def executors():
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        print(list(threads.map(square, range(4))), list(processes.map(square, range(4))))


def subprocesses():
    import subprocess

    print(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True))
    print(sorted(os.listdir("/proc/self/fd"))[:4])


def pickles():
    import pickle

    class Local:
        pass

    globals()["Point"] = type("Point", (), {"__module__": "__main__"})
    with open("/results/p.pkl", "wb") as out:
        pickle.dump([globals()["Point"](), "text", {"a": 1.5}], out)


def goes_on():
    if os.fork() == 0:
        os.setsid()
        import time

        time.sleep(1000)


def closes_everything():
    os.closerange(3, 4096)
    print("closed")


def fills_tmp():
    with open("/tmp/full", "wb") as out:
        try:
            while True:
                out.write(bytes(1 << 20))
        except OSError as error:
            print(error.strerror)
    os.makedirs("/tmp/a/b/c")
    os.chmod("/tmp/a/b", 0)
    os.symlink("/results", "/tmp/link")
    open("/dev/shm/left", "w").close()


def changes_modules():
    import json
    import random

    print(hasattr(json, "changed"), json.loads("1"), 0 <= random.random() < 1)
    json.changed, json.loads = True, None
    random.random = lambda: 9
    sys.path.append("/nowhere")
    os.environ["LEFT"] = "behind"


def logs():
    import logging
    import warnings

    logging.basicConfig(level="INFO")
    logging.info("to standard error")
    warnings.warn("is seen once")


def closes_output():
    sys.stdout.close()


def temporary():
    import tempfile

    print(tempfile.gettempdir())
    with tempfile.NamedTemporaryFile() as file:
        print(os.path.dirname(file.name))


def numbers():
    import numpy
    import pandas

    print(numpy.linalg.det(numpy.arange(9).reshape(3, 3) + numpy.eye(3)), pandas.Series([1, 2]).rolling(2).sum().sum())


if __name__ == "__main__":
    globals()[name]()
