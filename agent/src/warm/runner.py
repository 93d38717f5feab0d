"""Runs the jobs of a sweep one after the other, each in a fork of an interpreter that has imported their libraries.

The agent mounts this file into a container and starts it with the interpreter and the options of the job's command:

    python3 -u /btctl/warm.py /btctl/warm.sock

It uses the standard library alone, of Python 3.8 and later. The agent is at the other end of the socket; each message
has its length in four bytes, big-endian, before its JSON. What always holds: no line of the job runs in this process, only
imports of installed modules do; a job finds the state that a new interpreter would give it; what a job leaves behind
(processes, files in memory) is gone before the agent hears of its end.
"""

import array
import ast
import builtins
import errno
import fcntl
import gc
import importlib
import importlib.machinery
import io
import json
import os
import re
import select
import signal
import site
import socket
import struct
import sys
import sysconfig
import time
import types

try:
    import ctypes

    FLUSH_C = ctypes.CDLL(None).fflush
except Exception:  # An image without ctypes: the interpreter ends by itself then, which takes longer.
    FLUSH_C = None

# Where this file's frames come from.
HERE = __file__
# Read by C code or by the interpreter itself, which nobody sees do it.
READ_UNSEEN = re.compile(
    r"(PYTHON|OMP_|MKL_|KMP_|GOMP_|OPENBLAS|GOTO_|BLIS|VECLIB|NUMEXPR|NUMBA|NPY_|LD_|MALLOC_|GLIBC_|TZ|LANG|LC_|CUDA)"
)
# Files that modules may keep open: they have no position.
WITHOUT_POSITION = {"/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"}
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# Descriptors that are not the job's lie above those that it gets itself.
HIGH = 500
MOST_LEARNED = 1 << 20
# Times that the interpreter starts anew to leave modules out, before it imports nothing at all.
MOST_STARTS = 12
CLEANING_SECONDS = 5
# How much sooner than this process the kernel kills a job for memory, in thousandths of the container's limit.
KILLED_SOONER = b"100"


class Agent:
    """The agent's end of the socket."""

    def __init__(self, sock):
        self.sock = sock

    def _take(self, size, fds):
        data = b""
        while len(data) < size:
            room = socket.CMSG_SPACE(8 * array.array("i").itemsize)
            piece, ancillary, _, _ = self.sock.recvmsg(size - len(data), room)
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    got = array.array("i")
                    got.frombytes(content[: len(content) - len(content) % got.itemsize])
                    fds.extend(got)
            if not piece:
                raise EOFError
            data += piece
        return data

    def hear(self):
        """The next message, and the descriptors that came with it."""
        fds = []
        (size,) = struct.unpack(">I", self._take(4, fds))
        return json.loads(self._take(size, fds)), fds

    def tell(self, **message):
        data = json.dumps(message).encode("utf-8", "surrogateescape")
        self.sock.sendall(struct.pack(">I", len(data)) + data)


def threads():
    return len(os.listdir("/proc/self/task"))


def open_files():
    """What is open and has a position or another end."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink("/proc/self/fd/" + fd)
        except OSError:
            continue
        if name not in WITHOUT_POSITION and not name.startswith("/proc/"):
            found.add((fd, name))
    return found


def threads_end_at_forks():
    """Some libraries end their threads before a fork and start them again when they are needed."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return threads() == 1


class Preloaded:
    """The modules that this process imports for its jobs, and what must be renewed of them in each."""

    def __init__(self, exclude, left_out):
        self.exclude = set(exclude)
        self.left_out = dict(left_out)
        self.environment = dict(os.environ)
        self.read = set()
        self.names = []
        self.seeds = []
        self.numpy_is_seeded = False
        self.modules = frozenset()
        self.open = set()
        paths = sysconfig.get_paths()
        roots = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
        # An interpreter without site-packages (-S) has no such functions.
        roots += getattr(site, "getsitepackages", list)()
        # Debian's, which no scheme of every version names.
        roots += [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
        self.roots = tuple({os.path.realpath(path) + os.sep for path in roots if path})

    def is_installed(self, name):
        """Whether a module comes from the image's libraries, and not from the job's own files."""
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        return spec is not None and spec.name == name and self.has(spec)

    def finds(self, name):
        """Whether the module is one of the image's libraries, without importing it."""
        if name in sys.builtin_module_names:
            return True
        try:
            spec = importlib.machinery.PathFinder.find_spec(name)
        except Exception:
            return False
        return spec is not None and self.has(spec)

    def has(self, spec):
        """Whether what a module is made of lies among the image's libraries."""
        origin = spec.origin or next(iter(spec.submodule_search_locations or ()), None)
        return bool(origin) and (origin in ("built-in", "frozen") or os.path.realpath(origin).startswith(self.roots))

    def take(self, names, asked):
        """Imports modules in this order; gives the name of one that must be left out, and why."""
        groups = {}
        for name in names:
            if not any((name + ".").startswith(excluded + ".") for excluded in self.exclude):
                groups.setdefault(name.partition(".")[0], []).append(name)
        for top, group in groups.items():
            if all(name in sys.modules for name in group):
                continue
            if not asked.intersection(group) and top not in sys.modules and not self.finds(top):
                continue
            why = self._import(group, asked)
            if why:
                return top, why
        return None

    def _import(self, group, asked):
        # Before others make generators of it that nobody sees.
        import random  # noqa: F401

        with Watch(self):
            for name in group:
                try:
                    importlib.import_module(name)
                except BaseException as error:
                    if name in asked:
                        raise
                    return "importing it fails: %s: %s" % (type(error).__name__, error)
        if threads() > 1 and not threads_end_at_forks():
            return "it starts threads when it is imported"
        if open_files() - self.open:
            return "it opens files or sockets when it is imported"
        self.names.append(group[0].partition(".")[0])
        return None

    def settle(self):
        """Makes ready for forks: what was imported is no more looked at by the garbage collector."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        if FLUSH_C:
            FLUSH_C(None)
        # Those that were found before are frozen, and not found again.
        self.seeds += drawn_from_the_system()
        self.modules = frozenset(sys.modules)
        gc.freeze()

    def fits(self, env):
        """Nothing, or which variable says that the modules would be others in the job's environment."""
        for name in set(env) | set(self.environment):
            if name in self.read or READ_UNSEEN.match(name):
                if env.get(name) != self.environment.get(name):
                    return name
        return None

    def renew(self):
        """What a new interpreter would draw or find by itself, in a job's process."""
        for generator in self.seeds:
            if hasattr(generator, "seed"):
                generator.seed()
            else:
                # One of numpy's has no such method.
                generator.state = type(generator)().state
        modules = sys.modules
        if "numpy.random" in modules and not self.numpy_is_seeded:
            modules["numpy.random"].seed()
        if "torch" in modules:
            modules["torch"].seed()
        if "tempfile" in modules:
            modules["tempfile"].tempdir = modules["tempfile"]._name_sequence = None
        if "logging" in modules:
            now = time.time_ns if sys.version_info >= (3, 13) else time.time
            modules["logging"]._startTime = now()
        if "multiprocessing.process" in modules:
            process = modules["multiprocessing.process"]
            process._current_process._config["authkey"] = process.AuthenticationString(os.urandom(32))
            process.ORIGINAL_DIR = os.path.abspath(os.getcwd())


class Watch:
    """Notes what modules do while they are imported: variables that they read, generators that they seed."""

    def __init__(self, preloaded):
        self.preloaded = preloaded

    def __enter__(self):
        encode, read = os.environ.encodekey, self.preloaded.read

        def noted(key):
            if isinstance(key, str):
                read.add(key)
            return encode(key)

        self.encode, os.environ.encodekey = encode, noted
        random = sys.modules.get("random")
        self.random_seed = None
        if random:
            seed, seeds = random.Random.seed, self.preloaded.seeds

            def noted_seed(self, a=None, *args, **kwargs):
                if a is None and self is not random._inst:
                    seeds.append(self)
                return seed(self, a, *args, **kwargs)

            self.random_seed, random.Random.seed = seed, noted_seed
        numpy = sys.modules.get("numpy.random")
        self.numpy_seed = None
        if numpy:

            def noted_numpy(seed=None):
                self.preloaded.numpy_is_seeded |= seed is not None
                return self.numpy_seed(seed)

            self.numpy_seed, numpy.seed = numpy.seed, noted_numpy

    def __exit__(self, *_):
        os.environ.encodekey = self.encode
        if self.random_seed:
            sys.modules["random"].Random.seed = self.random_seed
        if self.numpy_seed:
            sys.modules["numpy.random"].seed = self.numpy_seed


def drawn_from_the_system():
    """numpy's generators that modules have made without a seed of their own."""
    numpy = sys.modules.get("numpy.random")
    kind = getattr(numpy, "BitGenerator", None)
    if kind is None:
        return []
    found = []
    shared = numpy.mtrand._rand._bit_generator
    for thing in gc.get_objects():
        if issubclass(type(thing), kind) and thing is not shared:
            sequence = getattr(thing, "seed_seq", None) or getattr(thing, "_seed_seq", None)
            entropy = getattr(sequence, "entropy", None)
            # What the system gives has 128 bits.
            if isinstance(entropy, int) and entropy >> 64:
                found.append(thing)
    return found


def imports_of(source, directory, seen):
    """The modules that a file imports first, with those that the job's own modules beside it import."""
    names = []
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return names
    for node in body:
        for inner in node.body if isinstance(node, ast.Try) else [node]:
            if isinstance(inner, ast.Import):
                found = [alias.name for alias in inner.names]
            elif isinstance(inner, ast.ImportFrom) and inner.level == 0 and inner.module != "__future__":
                found = [inner.module]
            else:
                continue
            for name in found:
                top = name.partition(".")[0]
                own = [os.path.join(directory, top + end) for end in ("/__init__.py", ".py")] if directory else []
                own = next((path for path in own if os.path.isfile(path)), None)
                if own is None:
                    names.append(name)
                elif own not in seen and len(seen) < 100:
                    seen.add(own)
                    with open(own, "rb") as file:
                        names += imports_of(file.read(), directory, seen)
    return names


def first_imports(job):
    """What a job's command will import, as far as its text says."""
    kind, target = job["kind"], job["target"]
    try:
        if kind == "code":
            return imports_of(target, None, set())
        if kind == "script":
            path = os.path.realpath(os.path.join(job["cwd"] or os.getcwd(), target))
            with open(path, "rb") as file:
                return imports_of(file.read(), os.path.dirname(path), {path})
    except OSError:
        pass
    return []


# What follows runs in the process of a job.


class Fresh(Exception):
    """The job needs an interpreter of its own."""


class Becoming(BaseException):
    """Leads a job's process out of all that this file has called, so that the job's code has none of it below."""

    def __init__(self, job):
        super().__init__()
        self.job = job


class Job:
    def __init__(self, message, preloaded, adds_path, learned):
        self.command = message["command"]
        self.kind = message["kind"]
        self.target = message["target"]
        self.args = message["args"]
        self.cwd = message["cwd"]
        self.env = {**preloaded.environment, **message["env"]}
        self.preloaded = preloaded
        self.adds_path = adds_path
        self.learned = learned
        # To make the set here would write to a page for each name.
        self.before = preloaded.modules
        self.main = types.ModuleType("__main__")
        self.path = self.source = None

    def become(self, stdout, stderr, fresh):
        """Makes this process the job's. One that needs an interpreter of its own goes over to it."""
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, place in ((null, 0), (stdout, 1), (stderr, 2)):
            os.dup2(fd, place)
        for fd in (null, stdout, stderr):
            if fd > 2:
                os.close(fd)
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(score, KILLED_SOONER)
        os.close(score)
        if self.cwd:
            os.chdir(self.cwd)
        try:
            if fresh:
                raise Fresh(fresh)
            getattr(self, "_look_at_" + self.kind)()
        except Fresh as why:
            os.pwrite(self.learned, json.dumps({"fresh": str(why)}).encode(), 0)
            os.execvpe(self.command[0], self.command, self.env)
        self._renew()

    def _renew(self):
        gc.enable()
        # Those that the preloaded modules have set stay, as if the job had imported them.
        for name, value in self.env.items():
            if self.preloaded.environment.get(name) != value:
                os.environ[name] = value
        if hasattr(sys, "orig_argv"):
            sys.orig_argv = list(self.command)
        space = self.main.__dict__
        space["__builtins__"] = builtins
        if sys.version_info < (3, 14):
            space["__annotations__"] = {}
        sys.modules["__main__"] = self.main
        self.preloaded.renew()

    def _look_at_script(self):
        path = self.target
        if os.path.isdir(path) or path.endswith(".pyc"):
            raise Fresh("%s is not a script" % path)
        try:
            with io.open_code(os.path.abspath(path)) as file:
                self.source = file.read()
        except OSError as error:
            # An interpreter says best what is wrong with it.
            raise Fresh("%s can't be read" % path) from error
        if self.source.startswith(b"PK\x03\x04"):
            raise Fresh("%s is an archive" % path)
        self._set_path(os.path.dirname(os.path.realpath(path)), path)
        self.path = path if sys.version_info < (3, 9) else os.path.abspath(path)
        self.main.__file__ = self.path
        self.main.__cached__ = None
        self.main.__loader__ = importlib.machinery.SourceFileLoader("__main__", self.path)

    def _look_at_code(self):
        self._set_path("", "-c")
        self.path, self.source = "<string>", self.target + "\n"
        if sys.version_info >= (3, 13):
            # Tracebacks show lines of code that came by -c, too.
            import linecache

            lines = self.source.splitlines(keepends=True)
            linecache.cache[self.path] = (len(self.source), None, lines, self.path)
        self.main.__loader__ = importlib.machinery.BuiltinImporter

    def _look_at_other(self):
        raise Fresh("the command is not Python")

    def _look_at_module(self):
        self._set_path(os.getcwd(), "-m")

    def _set_path(self, path, first):
        sys.argv = [first] + self.args
        if not self.adds_path:
            return
        try:
            names = {name.partition(".")[0] for name in os.listdir(path or ".")}
        except OSError:
            names = set()
        # A file beside the script may go by the name of a module that is imported already.
        for name in names.intersection(self.before):
            if any(os.path.exists(os.path.join(path, name + end)) for end in (".py", "/__init__.py", ".so")):
                raise Fresh("%s lies beside it" % name)
        sys.path.insert(0, path)

    def program(self):
        """The code of the job, and the namespace that it runs in."""
        if self.kind == "module":
            import runpy

            space = {"run": runpy._run_module_as_main, "name": self.target}
            return compile("run(name)", HERE, "exec", dont_inherit=True), space
        return compile(self.source, self.path, "exec", dont_inherit=True), self.main.__dict__

    def end(self, code):
        """Ends this process as an interpreter ends; a negative code is a signal."""
        threading = sys.modules.get("threading")
        if threading:
            ignored(threading._shutdown)
        atexit = importlib.import_module("atexit")
        ignored(atexit._run_exitfuncs)
        code = flushed(code)
        self._note_learned()
        # Before what is in a cycle is finalized, in whatever order; and again for what finalizers have written.
        flush_files()
        let_go(set(sys.modules) - self.before)
        flush_files()
        code = flushed(code)
        if not FLUSH_C:
            raise SystemExit(code)
        FLUSH_C(None)
        if code < 0:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code & 0xFF)

    def _note_learned(self):
        names = [name for name in list(sys.modules) if name not in self.before and name != "__main__"]
        names = [name for name in names if self.preloaded.is_installed(name)]
        if names:
            ignored(lambda: os.pwrite(self.learned, json.dumps(names).encode()[:MOST_LEARNED], 0), silent=True)


def without_our_frames(trace):
    while trace is not None and trace.tb_frame.f_code.co_filename == HERE:
        trace = trace.tb_next
    return trace


def failed(error):
    """The exit code of a main program that such an exception ends, after an interpreter's words about it."""
    if isinstance(error, SystemExit):
        return exit_code(error)
    interrupted = isinstance(error, KeyboardInterrupt)
    error = error.with_traceback(without_our_frames(error.__traceback__))
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    flush(sys.stdout)
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as stop:
        return exit_code(stop)
    except BaseException as again:
        again = again.with_traceback(without_our_frames(again.__traceback__))
        again.__context__ = None
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(again), again, again.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(type(error), error, error.__traceback__)
    return -signal.SIGINT if interrupted else 1


def exit_code(stop):
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    flush(sys.stdout)
    print(stop.code, file=sys.stderr)
    return 1


def ignored(step, silent=False):
    try:
        step()
    except BaseException as error:
        if not silent and not isinstance(error, SystemExit):
            sys.excepthook(type(error), error, without_our_frames(error.__traceback__))


def flush(stream):
    try:
        if stream is not None and not stream.closed:
            stream.flush()
        return True
    except Exception:
        return False


def flushed(code):
    both = flush(sys.stdout), flush(sys.stderr)
    return code if both[0] or code else 120


def flush_files():
    """No file that is still open loses what was written to it."""
    for kinds in (io.TextIOWrapper, (io.BufferedWriter, io.BufferedRandom)):
        for thing in gc.get_objects():
            # By its type: what stands for something else, such as a proxy, may raise when it is asked.
            if issubclass(type(thing), kinds):
                ignored(thing.flush, silent=True)


def let_go(names):
    """What modules of the job hold is finalized, as at an interpreter's end."""
    order = ["__main__"] + [name for name in reversed(list(sys.modules)) if name in names and name != "__main__"]
    modules = [sys.modules.get(name) for name in order]
    for module in modules:
        if not isinstance(module, types.ModuleType):
            continue
        space = module.__dict__
        for private in (True, False):
            for name in [name for name in space if isinstance(name, str)]:
                if name != "__builtins__" and private == (name.startswith("_") and not name.startswith("__")):
                    space[name] = None
    gc.collect()


# What follows runs in the process that forks.


class Server:
    def __init__(self, agent, hello, adds_path):
        self.agent = agent
        self.hello = hello
        self.adds_path = adds_path
        self.preloaded = Preloaded(hello["exclude"], hello["left_out"])
        self.learned = moved_high(file_in_memory())
        read, write = os.pipe()
        self.wakes, self.wake = moved_high(read), moved_high(write)
        os.set_blocking(self.wake, False)
        self.preloaded.open = open_files()
        self.child = None
        self.before = {}
        self.ends_when_idle = False

    def preload(self):
        hello = self.hello
        if hello["starts"] >= MOST_STARTS:
            self.preloaded.settle()
            return
        scanned = [] if hello["learned"] else first_imports(hello["job"])
        names = hello["preload"] + hello["learned"] + scanned
        self.take(names)

    def take(self, names):
        try:
            out = self.preloaded.take(names, set(self.hello["preload"]))
        except BaseException as error:
            self.agent.tell(missing="%s: %s" % (type(error).__name__, error))
            sys.exit(0)
        if out:
            self.start_anew(*out)
        self.preloaded.settle()

    def start_anew(self, name, why):
        """Imports can't be taken back, so an interpreter without this one takes over."""
        hello = self.hello
        hello["exclude"].append(name)
        hello["left_out"][name] = why
        hello["starts"] += 1
        state = file_in_memory()
        os.write(state, json.dumps(hello).encode())
        for fd in (state, self.agent.sock.fileno()):
            os.set_inheritable(fd, True)
        args = hello["python"] + [HERE, str(self.agent.sock.fileno()), str(state)]
        os.execvpe(args[0], args, self.preloaded.environment)

    def ready(self):
        self.agent.tell(ready={"preloaded": self.preloaded.names, "left_out": self.preloaded.left_out})

    def serve(self):
        for number in SIGNALS:
            self.before[number] = signal.signal(number, self.on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)
        self.ready()
        while True:
            message, fds = self.hear_when_idle()
            if "job" in message:
                self.run(message["job"], fds)
            else:
                for fd in fds:
                    os.close(fd)

    def hear_when_idle(self):
        while True:
            if self.ends_when_idle:
                sys.exit(0)
            readable, _, _ = select.select([self.agent.sock, self.wakes], [], [])
            if self.wakes in readable:
                os.read(self.wakes, 4096)
            if self.agent.sock in readable:
                return self.agent.hear()

    def on_signal(self, number, _):
        """A container that is stopped stops its job first."""
        self.ends_when_idle = True
        self.signal_job(number)

    def signal_job(self, number):
        if self.child is not None:
            try:
                os.kill(self.child, number)
            except ProcessLookupError:
                pass

    def run(self, message, fds):
        os.ftruncate(self.learned, 0)
        env = {**self.preloaded.environment, **message["env"]}
        other = self.preloaded.fits(env)
        fresh = other and "the variable %s has another value than when the modules were imported" % other
        if message["python"] != self.hello["python"]:
            fresh = "the command runs another interpreter, or with other options"
        child = os.fork()
        if child == 0:
            self.leave()
            job = Job(message, self.preloaded, self.adds_path, self.learned)
            try:
                job.become(*fds, fresh=fresh)
            except BaseException as error:
                os.write(2, ("btctl: the job can't be started: %s\n" % error).encode())
                os._exit(126)
            raise Becoming(job)
        self.child = child
        for fd in fds:
            os.close(fd)
        status, usage = self.wait()
        self.child = None
        left = clean(self.hello["empty"])
        learned, fresh = self.read_learned()
        self.agent.tell(
            ended={
                "status": status,
                "cpu_micros": int((usage.ru_utime + usage.ru_stime) * 1e6),
                "memory_bytes": usage.ru_maxrss * 1024,
                "learned": learned,
                "fresh": fresh,
                "left": left,
            }
        )
        if learned:
            self.hello["learned"] += [name for name in learned if name not in self.hello["learned"]]
            self.take(learned)
            self.ready()

    def leave(self):
        """In the process of a job: nothing of this one is left open."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, handler in self.before.items():
            if signal.getsignal(number) == self.on_signal:
                signal.signal(number, handler)
        os.close(self.wakes)
        os.close(self.wake)
        self.agent.sock.close()

    def wait(self):
        while True:
            ended, status, usage = os.wait4(self.child, os.WNOHANG)
            if ended:
                return status, usage
            readable, _, _ = select.select([self.agent.sock, self.wakes], [], [])
            if self.wakes in readable:
                os.read(self.wakes, 4096)
            if self.agent.sock in readable:
                message, fds = self.agent.hear()
                for fd in fds:
                    os.close(fd)
                number = message.get("signal")
                if number == signal.SIGKILL:
                    kill_all()
                elif number:
                    self.signal_job(number)

    def read_learned(self):
        text = os.pread(self.learned, MOST_LEARNED, 0)
        try:
            told = json.loads(text) if text else []
        except ValueError:
            return [], None
        if isinstance(told, dict):
            return [], str(told.get("fresh"))
        return [name for name in told if isinstance(name, str)] if isinstance(told, list) else [], None


def file_in_memory():
    if hasattr(os, "memfd_create"):
        return os.memfd_create("btctl", os.MFD_CLOEXEC)
    # An interpreter that was built for older systems.
    path = "/tmp/.btctl-%d" % os.getpid()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return fd


def moved_high(fd):
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError:
        return fd
    os.close(fd)
    return high


def kill_all():
    """Kills every process of the container but init and this one; false if none was there."""
    try:
        os.kill(-1, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False
    except PermissionError:
        return True


def clean(directories):
    """Ends what a job has left behind; gives what can't be removed."""
    until = time.monotonic() + CLEANING_SECONDS
    while kill_all():
        if time.monotonic() > until:
            return "processes that can't be killed"
        time.sleep(0.001)
    for directory in directories:
        try:
            empty(directory, until)
        except (OSError, RecursionError) as error:
            return "%s in %s" % (error, directory)
    for kind in ("shm", "sem", "msg"):
        try:
            with open("/proc/sysvipc/" + kind) as file:
                if len(file.readlines()) > 1:
                    return "System V %s that is shared between processes" % kind
        except OSError:
            pass
    return None


def empty(directory, until):
    try:
        with os.scandir(directory) as entries:
            entries = list(entries)
    except FileNotFoundError:
        return
    for entry in entries:
        if time.monotonic() > until:
            raise OSError(errno.ETIMEDOUT, "too many files")
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.path, 0o700)
            empty(entry.path, until)
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)


def is_alone():
    """Whether nothing runs in the container but this process and init: what else runs later is a job's."""
    return all(not pid.isdigit() or int(pid) in (1, os.getpid()) for pid in os.listdir("/proc"))


def main():
    if not is_alone():
        sys.exit("this program ends all other processes, so it runs only where it is alone, in a container")
    # This file's directory is none of the job's.
    adds_path = bool(sys.path) and sys.path[0] == os.path.dirname(os.path.abspath(HERE))
    if adds_path:
        del sys.path[0]
    gc.disable()
    if len(sys.argv) == 3:
        sock = socket.socket(fileno=int(sys.argv[1]))
        os.set_inheritable(sock.fileno(), False)
        with open(int(sys.argv[2]), "rb") as file:
            file.seek(0)
            hello = json.load(file)
        agent = Agent(sock)
    else:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(sys.argv[1])
        high = moved_high(sock.detach())
        agent = Agent(socket.socket(fileno=high))
        hello, _ = agent.hear()
        hello["starts"] = 0
    sys.argv = [""]
    try:
        server = Server(agent, hello, adds_path)
        server.preload()
        server.serve()
    except (EOFError, ConnectionError):
        # The agent is gone; nobody would hear of a job's end.
        kill_all()



PROGRAM = None
try:
    main()
except Becoming as becoming:
    PROGRAM = becoming.job
if PROGRAM:
    try:
        exec(*PROGRAM.program())
        CODE = 0
    except BaseException as ended:
        CODE = failed(ended)
    PROGRAM.end(CODE)
