//! Templates in commands and environments: text with `{{ expressions }}`. An undefined name is an error.

mod parts;

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Value;

use self::parts::TemplatePart;
pub use crate::braces::literal;
use crate::expression::{JOB_BUDGET, Scope};
use crate::manifest::{Error, MAX_ARGUMENTS, MAX_WORD, Manifest, suggestion};
use crate::parameters::{self, Parameters, text_of, variable_of};

/// The name for all parameters together.
const PARAMS: &str = "params";

/// A job's command and environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    pub command: Vec<String>,
    /// The manifest's, and `BT_PARAM_<NAME>` for each parameter.
    pub env: BTreeMap<String, String>,
}

/// A manifest's templates, compiled.
#[derive(Debug)]
pub struct Renderer<'m> {
    command: Vec<Template<'m>>,
    env: Vec<(&'m str, Template<'m>)>,
    /// The bytes of the entrypoint.
    entrypoint: usize,
}

/// What Linux counts for an argument or a variable besides its text: the byte that ends it, and a pointer.
const POINTER: usize = 9;

/// One template, or a text without any braces.
#[derive(Debug)]
struct Template<'m> {
    /// Its path in the manifest: `command.3`.
    path: String,
    source: &'m str,
    parts: Vec<TemplatePart<'m>>,
    /// The parameters that it names.
    names: BTreeSet<String>,
    /// The bytes that are passed besides the text: `NAME=`.
    prefix: usize,
    /// The most bytes that it makes of any parameters; none if it is more than text and names, or could be too long.
    most: Option<usize>,
}

impl Manifest {
    /// Compiles the templates.
    pub fn renderer(&self) -> Result<Renderer<'_>, Error> {
        Renderer::new(self)
    }

    /// One job's command and environment. For many jobs, keep one [`Self::renderer`].
    pub fn render(&self, parameters: &Parameters) -> Result<Rendered, Error> {
        self.renderer()?.render(parameters)
    }
}

impl<'m> Renderer<'m> {
    pub(crate) fn new(manifest: &'m Manifest) -> Result<Self, Error> {
        let compile = |path: String, prefix: usize, source: &'m str| {
            let template = Template::compile(path.clone(), prefix, source);
            template.map_err(|error| error.or_at(manifest.places.of(&path)))
        };
        let mut command = Vec::with_capacity(manifest.command.len());
        for (index, word) in manifest.command.iter().enumerate() {
            command.push(compile(format!("command.{index}"), 0, word)?);
        }
        // What names the program must not come out empty, so it is always rendered.
        if let Some(program) = command.first_mut().filter(|program| !program.names.is_empty()) {
            program.most = None;
        }
        let mut env = Vec::with_capacity(manifest.env.len());
        for (name, value) in &manifest.env {
            env.push((name.as_str(), compile(format!("env.{name}"), name.len() + 1, value)?));
        }
        let entrypoint = manifest.sandbox.entrypoint.iter().flatten().map(|word| word.len() + POINTER).sum();
        Ok(Self { command, env, entrypoint })
    }

    /// One job's command and environment.
    pub fn render(&self, parameters: &Parameters) -> Result<Rendered, Error> {
        self.render_or_path(parameters).map_err(|(_, error)| error)
    }

    /// The same; a mistake comes with its path in the manifest.
    fn render_or_path(&self, parameters: &Parameters) -> Result<Rendered, (&str, Error)> {
        let mut budget = JOB_BUDGET;
        let mut size = self.entrypoint;
        let mut render = |template: &Template<'m>, size: &mut usize| {
            let text = template.render(parameters, &mut budget)?;
            *size += template.prefix + text.len() + POINTER;
            Ok(text)
        };
        let mut command = Vec::with_capacity(self.command.len());
        for template in &self.command {
            command.push(render(template, &mut size).map_err(|error| (template.path.as_str(), error))?);
        }
        if command.first().is_some_and(String::is_empty) {
            let message = "`command` starts with an empty word; its first word is the program";
            return Err(("command.0", Error::new(message)));
        }
        let mut env = BTreeMap::new();
        for (name, template) in &self.env {
            let value = render(template, &mut size).map_err(|error| (template.path.as_str(), error))?;
            env.insert((*name).to_owned(), value);
        }
        for (name, value) in parameters.iter() {
            let (name, value) = (variable_of(name), text_of(value));
            size += name.len() + 1 + value.len() + POINTER;
            env.insert(name, value);
        }
        if size > MAX_ARGUMENTS {
            return Err((
                "command",
                Error::new(format!(
                    "command, environment and parameters are {size} bytes together; {MAX_ARGUMENTS} are the most that Linux \
                 passes to a program. Put them into a file or a volume"
                )),
            ));
        }
        Ok(Rendered { command, env })
    }

    /// True when every job that has these parameters, and `count` in all, renders, whatever their values.
    pub(crate) fn always_renders(&self, count: usize, has: impl Fn(&str) -> bool) -> bool {
        let mut most = self.entrypoint + count * parameters::MAX_VARIABLE;
        self.templates().all(|template| {
            most += template.most.map_or(0, |bytes| bytes + template.prefix + POINTER);
            template.most.is_some() && template.names.iter().all(|name| has(name))
        }) && most <= MAX_ARGUMENTS
    }

    /// Checks that a job renders.
    pub(crate) fn check(&self, manifest: &Manifest, parameters: &Parameters) -> Result<(), Error> {
        if self.always_renders(parameters.len(), |name| parameters.get(name).is_some()) {
            return Ok(());
        }
        match self.render_or_path(parameters) {
            Ok(_) => Ok(()),
            Err((path, error)) => Err(error.or_at(manifest.places.of(path))),
        }
    }

    /// The first template that names a parameter: its path in the manifest, and how it is shown to people.
    pub(crate) fn first_with_parameters(&self) -> Option<(String, String)> {
        let names_any = |template: &&Template<'m>| {
            template.parts.iter().any(|part| match part {
                TemplatePart::Expression(expression) => !expression.names().is_empty(),
                TemplatePart::Text(_) => false,
            })
        };
        self.templates().find(names_any).map(|found| (found.path.clone(), show(&found.path, found.source)))
    }

    fn templates(&self) -> impl Iterator<Item = &Template<'m>> {
        self.command.iter().chain(self.env.iter().map(|(_, template)| template))
    }
}

impl<'m> Template<'m> {
    fn compile(path: String, prefix: usize, source: &'m str) -> Result<Self, Error> {
        if parts::is_text(source) {
            return Ok(Self {
                path,
                source,
                parts: vec![TemplatePart::Text(source)],
                names: BTreeSet::new(),
                prefix,
                most: Some(source.len()).filter(|most| prefix + most <= MAX_WORD),
            });
        }
        let parts = parts::parse(source)
            .map_err(|why| Error::new(format!("{} is not a template: {why}", show(&path, source))))?;
        let expressions = || {
            parts.iter().filter_map(|part| match part {
                TemplatePart::Expression(expression) => Some(expression),
                TemplatePart::Text(_) => None,
            })
        };
        let are_names =
            expressions().all(|expression| expression.as_name().is_some_and(|name| name != PARAMS));
        let most = source.len() + expressions().count() * parameters::MAX_TEXT;
        let most = Some(most).filter(|most| are_names && prefix + most <= MAX_WORD);
        let names = expressions().flat_map(|expression| expression.names().iter().cloned());
        let names = names.filter(|name| name != PARAMS).collect();
        Ok(Self { path, source, parts, names, prefix, most })
    }

    fn render(&self, parameters: &Parameters, budget: &mut usize) -> Result<String, Error> {
        let fails = |message: String| Error::new(message);
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => rendered.push_str(text),
                TemplatePart::Expression(expression) => {
                    let text =
                        expression.text(parameters, budget).map_err(|fault| match &fault.undefined {
                            Some(name) if self.names.contains(name) => {
                                let hint = suggestion(name, parameters.names(), "parameters");
                                fails(format!(
                                    "{} uses `{name}`, which is not a parameter{hint}",
                                    show(&self.path, self.source)
                                ))
                            }
                            _ => fails(format!(
                                "{} does not render with {}: {fault}",
                                show(&self.path, self.source),
                                parameters.to_json()
                            )),
                        })?;
                    rendered.push_str(&text);
                }
            }
            if self.prefix + rendered.len() > MAX_WORD {
                return Err(fails(format!(
                    "{} renders to more than {} bytes, the most that Linux passes to a program, with {}; put it into a \
                     file or a volume",
                    show(&self.path, self.source),
                    MAX_WORD - self.prefix,
                    parameters.to_json()
                )));
            }
        }
        if rendered.contains('\0') {
            let message = format!(
                "{} renders to a text with a NUL character, which no program can be given",
                show(&self.path, self.source)
            );
            return Err(fails(message));
        }
        Ok(rendered)
    }
}

/// What there is to see of a job: each parameter by its name, and all of them as `params`.
impl Scope for Parameters {
    fn value(&self, name: &str) -> Option<Value> {
        match self.get(name) {
            Some(value) => Some(value_of(value)),
            None if name == PARAMS => {
                let all = self.iter().map(|(name, value)| (name.to_owned(), value_of(value)));
                Some(Value::from(all.collect::<BTreeMap<String, Value>>()))
            }
            None => None,
        }
    }

    fn spelling(&self, parameter: &str) -> Option<String> {
        self.get(parameter).filter(|value| value.is_number()).map(text_of)
    }

    fn json(&self) -> Option<String> {
        // A parameter of that name hides all together.
        self.get(PARAMS).is_none().then(|| self.to_json())
    }
}

/// A parameter's value for the engine.
pub(crate) fn value_of(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), _, _) => int.into(),
            (None, Some(int), _) => int.into(),
            (None, None, Some(float)) => float.into(),
            (None, None, None) => ().into(),
        },
        _ => ().into(),
    }
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
