//! Templates in commands and environments, in the language of Jinja. An undefined name is an error.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use crate::manifest::{Error, MAX_WORD, Manifest, suggestion};
use crate::parameters::{self, Parameters, text_of, variable_of};

/// A template stops after so many steps: it says what a job's command is, it computes nothing.
const FUEL: u64 = 100_000;

/// A job's command and environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub command: Vec<String>,
    /// The manifest's, and `BT_PARAM_<NAME>` for each parameter.
    pub env: BTreeMap<String, String>,
}

/// A manifest's templates, compiled.
#[derive(Debug)]
pub struct Renderer<'m> {
    engine: Environment<'m>,
    command: Vec<Template<'m>>,
    env: Vec<(&'m str, Template<'m>)>,
}

/// One template, or a text without any braces.
#[derive(Debug)]
struct Template<'m> {
    /// Its path in the manifest: `command.3`.
    path: String,
    source: &'m str,
    /// What it names; nothing is rendered where there are no braces.
    names: Option<Names>,
    /// Nothing but names in braces, and so few that every result is short enough.
    is_plain: bool,
}

impl<'m> Renderer<'m> {
    pub(crate) fn new(manifest: &'m Manifest) -> Result<Self, Error> {
        let mut engine = engine();
        let mut compile = |path: String, source: &'m str| {
            let template = Template::compile(&mut engine, path.clone(), source);
            template.map_err(|error| error.or_at(manifest.places.of(&path)))
        };
        let mut command = Vec::with_capacity(manifest.command.len());
        for (index, word) in manifest.command.iter().enumerate() {
            command.push(compile(format!("command.{index}"), word)?);
        }
        // What names the program must not come out empty, so it is always rendered.
        if let Some(program) = command.first_mut() {
            program.is_plain &= program.names.is_none();
        }
        let mut env = Vec::with_capacity(manifest.env.len());
        for (name, value) in &manifest.env {
            env.push((name.as_str(), compile(format!("env.{name}"), value)?));
        }
        Ok(Self { engine, command, env })
    }

    /// One job's command and environment.
    pub fn render(&self, parameters: &Parameters) -> Result<Rendered, Error> {
        self.render_or_path(parameters).map_err(|(_, error)| error)
    }

    /// The same; a mistake comes with its path in the manifest.
    fn render_or_path(&self, parameters: &Parameters) -> Result<Rendered, (&str, Error)> {
        let mut command = Vec::with_capacity(self.command.len());
        for template in &self.command {
            command.push(template.render(&self.engine, parameters)?);
        }
        if command.first().is_some_and(String::is_empty) {
            let message = "`command` starts with an empty word; its first word is the program";
            return Err(("command.0", Error::new(message)));
        }
        let mut env = BTreeMap::new();
        for (name, template) in &self.env {
            env.insert((*name).to_owned(), template.render(&self.engine, parameters)?);
        }
        env.extend(parameters.iter().map(|(name, value)| (variable_of(name), text_of(value))));
        Ok(Rendered { command, env })
    }

    /// True when every job that has all of these parameters renders, whatever their values.
    pub(crate) fn always_renders(&self, has: impl Fn(&str) -> bool) -> bool {
        self.templates().all(|template| {
            template.is_plain && template.names.iter().flat_map(|names| &names.used).all(|name| has(name))
        })
    }

    /// Checks that a job renders.
    pub(crate) fn check(&self, manifest: &Manifest, parameters: &Parameters) -> Result<(), Error> {
        if self.always_renders(|name| parameters.get(name).is_some()) {
            return Ok(());
        }
        match self.render_or_path(parameters) {
            Ok(_) => Ok(()),
            Err((path, error)) => Err(error.or_at(manifest.places.of(path))),
        }
    }

    fn templates(&self) -> impl Iterator<Item = &Template<'m>> {
        self.command.iter().chain(self.env.iter().map(|(_, template)| template))
    }
}

impl<'m> Template<'m> {
    fn compile(engine: &mut Environment<'m>, path: String, source: &'m str) -> Result<Self, Error> {
        if !["{{", "{%", "{#"].iter().any(|open| source.contains(open)) {
            return Ok(Self { path, source, names: None, is_plain: true });
        }
        let fails = |error: minijinja::Error| {
            Error::new(format!("{} is no template: {}", show(&path, source), reason(&error)))
        };
        engine.add_template(source, source).map_err(fails)?;
        let template = engine.get_template(source).map_err(fails)?;
        let names = Names::new(engine, template.undeclared_variables(false));
        let substitutions = plain_substitutions(source);
        let is_plain =
            substitutions.is_some_and(|count| source.len() + count * parameters::MAX_TEXT <= MAX_WORD);
        Ok(Self { path, source, names: Some(names), is_plain })
    }

    fn render(&self, engine: &Environment<'m>, parameters: &Parameters) -> Result<String, (&str, Error)> {
        let Some(names) = &self.names else {
            return Ok(self.source.to_owned());
        };
        let fails = |message: String| (self.path.as_str(), Error::new(message));
        let scope = names.scope(parameters);
        let rendered = engine.get_template(self.source).and_then(|template| template.render(scope)).map_err(
            |error| match (error.kind(), names.missing(parameters)) {
                (minijinja::ErrorKind::UndefinedError, Some(name)) => {
                    let hint = suggestion(name, parameters.names(), "parameters");
                    fails(format!(
                        "{} uses `{name}`, which is no parameter{hint}",
                        show(&self.path, self.source)
                    ))
                }
                _ => fails(format!(
                    "{} does not render with {}: {}",
                    show(&self.path, self.source),
                    parameters.to_json(),
                    reason(&error)
                )),
            },
        )?;
        if rendered.len() > MAX_WORD || rendered.contains('\0') {
            let message = format!(
                "{} renders to {} bytes with {}; {MAX_WORD} are the most, and none of them is NUL",
                show(&self.path, self.source),
                rendered.len(),
                parameters.to_json()
            );
            return Err(fails(message));
        }
        Ok(rendered)
    }
}

/// The engine that templates and `where` share.
pub(crate) fn engine<'source>() -> Environment<'source> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    engine.set_syntax(syntax.build().expect("the delimiters are the default ones"));
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_fuel(Some(FUEL));
    // Jinja writes Python's True; a value looks the same in a template, in BT_PARAM_<NAME> and in the manifest.
    engine.set_formatter(|out, state, value| match serde_json::to_value(value) {
        Ok(plain @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_))) => {
            out.write_str(&plain.to_string()).map_err(minijinja::Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    engine
}

/// The names that a template or an expression uses without defining them.
#[derive(Debug)]
pub(crate) struct Names {
    used: BTreeSet<String>,
    /// Those that only a job's parameters can define.
    pub(crate) needed: BTreeSet<String>,
}

impl Names {
    pub(crate) fn new(engine: &Environment<'_>, used: HashSet<String>) -> Self {
        let is_there = |name: &str| name == "params" || engine.globals().any(|(global, _)| global == name);
        Self {
            needed: used.iter().filter(|name| !is_there(name)).cloned().collect(),
            used: used.into_iter().collect(),
        }
    }

    /// What there is to see of a job: the parameters that are named, and all of them as `params`.
    pub(crate) fn scope(&self, parameters: &Parameters) -> Value {
        let known = self.used.iter().filter_map(|name| {
            let value = match parameters.get(name) {
                Some(value) => value_of(value),
                None if name == "params" => {
                    let all = parameters.iter().map(|(name, value)| (name.to_owned(), value_of(value)));
                    Value::from(all.collect::<BTreeMap<String, Value>>())
                }
                None => return None,
            };
            Some((name.clone(), value))
        });
        Value::from(known.collect::<BTreeMap<String, Value>>())
    }

    /// The first name that the job does not define.
    pub(crate) fn missing(&self, parameters: &Parameters) -> Option<&str> {
        let missing = self.needed.iter().find(|name| parameters.get(name).is_none());
        missing.map(String::as_str)
    }
}

/// A parameter's value for the engine.
pub(crate) fn value_of(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => int.into(),
            (None, Some(float)) => float.into(),
            (None, None) => ().into(),
        },
        _ => ().into(),
    }
}

/// Why the engine refused, in one line.
pub(crate) fn reason(error: &minijinja::Error) -> String {
    let mut reason = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    if let Some(name) = reason.strip_suffix(" is undefined") {
        reason = format!("`{name}` is undefined");
    }
    reason.lines().collect::<Vec<_>>().join(" ")
}

/// How many names stand in braces, if the template is nothing but text and names in braces.
fn plain_substitutions(source: &str) -> Option<usize> {
    if source.contains("{%") || source.contains("{#") {
        return None;
    }
    let mut count = 0;
    for after in source.split("{{").skip(1) {
        let (inside, _) = after.split_once("}}")?;
        let name = inside.trim();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let is_word = ["true", "false", "none", "True", "False", "None", "params"].contains(&name);
        if !is_name || is_word {
            return None;
        }
        count += 1;
    }
    Some(count)
}

/// A template for people: where it is, and what it says.
fn show(path: &str, source: &str) -> String {
    let short: String = source.chars().take(60).collect();
    let dots = if short.len() < source.len() { "..." } else { "" };
    match path.split_once('.') {
        Some(("command", index)) => format!("`command[{index}]` ({short:?}{dots})"),
        _ => format!("`{path}` ({short:?}{dots})"),
    }
}

#[cfg(test)]
mod tests;
