//! Manifests of tests: a few lines beside what each has.

use super::{Error, Format, Manifest};

pub(super) fn read(lines: &str) -> Result<Manifest, Error> {
    let text = format!("image: x\nmatrix: {{ n: [1, 2] }}\n{lines}\n");
    Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml")?.finish()
}
