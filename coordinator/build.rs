//! Writes the list of statements, by the folder that each is in.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=queries");
    let root = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let mut list = "static STATEMENTS: &[(&str, &str)] = &[\n".to_owned();
    for folder in entries(&Path::new(&root).join("queries"))? {
        let group = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in entries(&folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let path = format!("/queries/{group}/{name}");
            writeln!(
                list,
                "    ({group:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),"
            )?;
        }
    }
    list.push_str("];\n");
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    Ok(fs::write(Path::new(&out).join("statements.rs"), list)?)
}

fn entries(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}
