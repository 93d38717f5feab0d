//! The form of a command's output, and how it is asked for.

/// The form of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people: fits the terminal. Scripts should use json or csv.
    #[default]
    Table,
    /// A table with all columns, and nothing cut off.
    Wide,
    /// Numbers in base units (bytes, seconds), times in RFC 3339; docs/OUTPUT.md describes it.
    Json,
    /// All columns, with the values of json.
    Csv,
    /// Names to pass to other commands, one on each line.
    Name,
}

impl OutputFormat {
    /// True for a form that people read.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM", env = "BTCTL_OUTPUT")]
    pub(crate) output: OutputFormat,
}

/// The form of a list whose columns can be chosen.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    form: OutputArgs,
    /// Columns of a table or CSV, in this order; the first line of `-o csv` names all columns. `params.x` and `metrics.x`
    /// are names of a parameter and a metric, too.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    columns: Vec<String>,
}

impl ListArgs {
    pub(crate) fn format(&self) -> OutputFormat {
        self.form.output
    }
}

/// A format, and the columns that were asked for: all if none is named.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(super) format: OutputFormat,
    pub(super) columns: Vec<String>,
}

impl Form {
    pub(crate) fn format(&self) -> OutputFormat {
        self.format
    }
}

impl From<OutputFormat> for Form {
    fn from(format: OutputFormat) -> Self {
        Self { format, columns: Vec::new() }
    }
}

impl From<&ListArgs> for Form {
    fn from(args: &ListArgs) -> Self {
        Self { format: args.form.output, columns: args.columns.clone() }
    }
}
