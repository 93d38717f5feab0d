//! What is known of names that pickles import.

/// What loading a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It runs programs, opens files or connections, or evaluates text: data needs nothing of the kind.
    Dangerous,
    /// Loading it imports its module, which runs the module's code, and what it does when it is called is not known.
    Unknown,
    /// What containers, numbers, dates, arrays and tables of Python, numpy and pandas are made of.
    Usual,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Dangerous => "dangerous",
            Self::Unknown => "unknown",
            Self::Usual => "usual",
        }
    }
}

/// Modules of which nothing belongs into data, with all below them.
const DANGEROUS: [&str; 40] = [
    "os",
    "posix",
    "nt",
    "posixpath",
    "ntpath",
    "subprocess",
    "sys",
    "socket",
    "shutil",
    "runpy",
    "pty",
    "webbrowser",
    "importlib",
    "imp",
    "ctypes",
    "code",
    "codeop",
    "marshal",
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "types",
    "inspect",
    "bdb",
    "pdb",
    "timeit",
    "trace",
    "asyncio",
    "multiprocessing",
    "threading",
    "urllib",
    "http",
    "requests",
    "ftplib",
    "smtplib",
    "pip",
    "commands",
];
/// Functions that turn text into code, or names into objects.
const DANGEROUS_NAMES: [&str; 24] = [
    "builtins.eval",
    "builtins.exec",
    "builtins.execfile",
    "builtins.compile",
    "builtins.open",
    "builtins.file",
    "builtins.input",
    "builtins.__import__",
    "builtins.getattr",
    "builtins.setattr",
    "builtins.delattr",
    "builtins.apply",
    "builtins.globals",
    "builtins.breakpoint",
    "io.open",
    "_io.open",
    "operator.attrgetter",
    "operator.methodcaller",
    "functools.partial",
    "pandas.eval",
    "pandas.read_pickle",
    "numpy.load",
    "joblib.load",
    "torch.load",
];
/// Modules whose classes are data, by their beginnings.
const USUAL: [&str; 14] = [
    "numpy.core.multiarray.",
    "numpy._core.multiarray.",
    "numpy.core.numeric.",
    "numpy._core.numeric.",
    "numpy.dtypes.",
    "numpy.random.",
    "pandas.core.frame.",
    "pandas.core.series.",
    "pandas.core.indexes.",
    "pandas.core.internals.",
    "pandas.core.arrays.",
    "pandas.core.dtypes.",
    "pandas._libs.",
    "pandas.tseries.offsets.",
];
const USUAL_NAMES: [&str; 60] = [
    "builtins.bool",
    "builtins.int",
    "builtins.long",
    "builtins.float",
    "builtins.complex",
    "builtins.str",
    "builtins.unicode",
    "builtins.bytes",
    "builtins.bytearray",
    "builtins.list",
    "builtins.tuple",
    "builtins.dict",
    "builtins.set",
    "builtins.frozenset",
    "builtins.range",
    "builtins.xrange",
    "builtins.slice",
    "builtins.object",
    "builtins.type",
    "builtins.NoneType",
    "builtins.Exception",
    "builtins.ValueError",
    "copyreg._reconstructor",
    "copyreg.__newobj__",
    "copyreg.__newobj_ex__",
    "_codecs.encode",
    "codecs.encode",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.deque",
    "collections.Counter",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "datetime.tzinfo",
    "zoneinfo.ZoneInfo",
    "zoneinfo.ZoneInfo._unpickle",
    "pytz._UTC",
    "pytz._p",
    "dateutil.tz.tz.tzutc",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "array.array",
    "array._array_reconstructor",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.bool_",
    "numpy.float64",
    "numpy.int64",
    "numpy.str_",
    "numpy.datetime64",
    "functools.reduce",
];

/// What is known of a name, as Python 3 has it.
pub(crate) fn standing(name: &str) -> Standing {
    let is_below = |module: &&str| name.strip_prefix(*module).is_some_and(|rest| rest.starts_with('.'));
    if DANGEROUS.iter().any(is_below) || DANGEROUS_NAMES.contains(&name) {
        return Standing::Dangerous;
    }
    let is_usual = USUAL.iter().any(|beginning| name.starts_with(beginning)) || USUAL_NAMES.contains(&name);
    if is_usual { Standing::Usual } else { Standing::Unknown }
}

/// A module and a name in it, as Python 3 calls them: old pickles name those of Python 2.
pub(crate) fn joined(module: &str, name: &str) -> String {
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        "UserDict" | "UserList" => "collections",
        other => other,
    };
    format!("{module}.{name}")
}
