//! Texts that look like numbers or booleans in other languages: they are passed on as they are, with a note for the user.

use std::collections::BTreeMap;

use serde_json::Value;

use super::definition::{JobSource, Manifest};
use crate::parameters::Parameters;
use crate::scalar;
use crate::windows::Windows;

/// Values of an axis, and rows, that are looked through.
const LOOKED_THROUGH: usize = 10_000;
/// Parameters that notes are made for.
const TOLD: usize = 5;

impl Manifest {
    /// What to tell the user before the sweep is queued: days that no window tests, and texts that look like numbers or
    /// booleans in other languages, one line for each parameter.
    pub fn remarks(&self) -> Vec<String> {
        let holes = self.windows.as_ref().and_then(Windows::remark);
        holes.into_iter().chain(of(&self.jobs)).collect()
    }
}

/// One line for each parameter that has such a text, with the first one.
fn of(jobs: &JobSource) -> Vec<String> {
    let mut notes = BTreeMap::new();
    let mut note = |name: &str, value: &Value| {
        let Value::String(text) = value else { return };
        if let Some(remedy) = scalar::look_alike(text).filter(|_| !notes.contains_key(name)) {
            let line =
                format!("note: the parameter `{name}` has the text {text:?}, passed on as it is; {remedy}");
            notes.insert(name.to_owned(), line);
        }
    };
    let mut rows = |rows: &[Parameters]| {
        let pairs = rows.iter().take(LOOKED_THROUGH).flat_map(Parameters::iter);
        pairs.for_each(|(name, value)| note(name, value));
    };
    match jobs {
        JobSource::One => {}
        JobSource::Rows(all) => rows(all),
        JobSource::Matrix(matrix) => {
            rows(&matrix.include);
            for (name, axis) in &matrix.axes {
                let listed = axis.listed().unwrap_or_default();
                listed.iter().take(LOOKED_THROUGH).for_each(|value| note(name, value));
            }
        }
    }
    notes.into_values().take(TOLD).collect()
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Format, Manifest};

    #[test]
    fn one_line_tells_of_each_parameter() {
        let text = "image: x\nmatrix: {a: [.5, 1., 2], b: [True], c: [x, 1.10, 007]}\n";
        let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "s").unwrap().finish().unwrap();
        assert_eq!(
            manifest.remarks(),
            [
                "note: the parameter `a` has the text \".5\", passed on as it is; write 0.5 for a number",
                "note: the parameter `b` has the text \"True\", passed on as it is; write true for a boolean",
            ]
        );
        let plain = Manifest::parse(b"image: x\nparams: [{a: 1}, {a: x}]\n", Format::Yaml, "s").unwrap();
        assert!(plain.finish().unwrap().remarks().is_empty());
    }
}
