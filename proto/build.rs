//! Compiles the .proto files without an installed `protoc`.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["types", "agents", "sweeps", "access", "secrets", "schedules", "aliases"]
        .map(|name| format!("proto/btctl/v1/{name}.proto"));
    let files = files.into_iter().chain(["proto/externalscaler.proto".to_owned()]);
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("btctl.bin"), descriptors.encode_to_vec())?;
    std::fs::write(out.join("methods.rs"), methods(&descriptors))?;
    tonic_prost_build::configure()
        // `src/secret.rs` has one that shows no value.
        .skip_debug([".btctl.v1.SecretValue"])
        .bytes(".btctl.v1.UploadRequest")
        .bytes(".btctl.v1.DownloadReply")
        .bytes(".btctl.v1.SmallOutput")
        .bytes(".btctl.v1.PushImageRequest")
        .bytes(".btctl.v1.FetchImageReply")
        .bytes(".btctl.v1.FetchOverlayReply")
        .bytes(".btctl.v1.FetchResultReply.data")
        .compile_fds(descriptors)?;
    Ok(())
}

/// An enum of all methods of all services, so that a table over them is not whole until it has a row for each.
fn methods(descriptors: &prost_types::FileDescriptorSet) -> String {
    let (mut variants, mut all, mut paths) = (String::new(), String::new(), String::new());
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let variant = format!("{}{}", service.name(), method.name());
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                variants += &format!("    {variant},\n");
                all += &format!("        Self::{variant},\n");
                paths += &format!("            Self::{variant} => \"{path}\",\n");
            }
        }
    }
    format!(
        "/// A method of one of the services.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n\
         pub enum Method {{\n{variants}}}\n\n\
         impl Method {{\n    pub const ALL: &'static [Self] = &[\n{all}    ];\n\n    \
         /// As it stands in an address.\n    \
         pub const fn path(self) -> &'static str {{\n        match self {{\n{paths}        }}\n    }}\n}}\n"
    )
}
