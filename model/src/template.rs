//! Templates in commands and environments.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use crate::manifest::Error;
use crate::parameters::Parameters;

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
    manifest: PhantomData<&'m ()>,
}

impl Renderer<'_> {
    pub fn render(&self, parameters: &Parameters) -> Result<Rendered, Error> {
        let _ = (parameters, &self.manifest);
        todo!()
    }
}
