//! Compiles `sealgate/control/v1/*.proto` with protox, so that no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["enrolment", "policies", "reports"].map(|name| format!("sealgate/control/v1/{name}.proto"));
    for file in &files {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(&files, ["."])?;
    tonic_prost_build::configure().bytes(".sealgate.control.v1").compile_fds(descriptors)?;
    Ok(())
}
