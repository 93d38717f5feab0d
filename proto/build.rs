//! Compiles the .proto files without an installed `protoc`.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["types", "agents", "sweeps"].map(|name| format!("proto/btctl/v1/{name}.proto"));
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("btctl.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".btctl.v1.UploadRequest")
        .bytes(".btctl.v1.DownloadReply")
        .bytes(".btctl.v1.SmallOutput")
        .bytes(".btctl.v1.PushImageRequest")
        .bytes(".btctl.v1.FetchImageReply")
        .bytes(".btctl.v1.FetchResultReply.data")
        .compile_fds(descriptors)?;
    Ok(())
}
