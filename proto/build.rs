//! Compiles the .proto files without an installed `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["types", "agents", "sweeps"].map(|name| format!("proto/btctl/v1/{name}.proto"));
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(&files, ["proto"])?;
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
