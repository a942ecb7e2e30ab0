//! Compiles opgate.v1: its messages and clients, and the descriptors that the crate embeds. No
//! protoc is needed.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

const FILES: &[&str] =
    &["opgate/v1/operation.proto", "opgate/v1/operations.proto", "opgate/v1/workers.proto"];

/// What errors are made of.
const ERRORS: &[&str] = &["google/rpc/error_details.proto", "google/rpc/status.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let compile = |comments, files: &[&str]| -> Result<_, Box<dyn Error>> {
        let mut compiler = protox::Compiler::new(["proto", "../../gateway/rpc/proto"])?;
        compiler.include_imports(true).include_source_info(comments).open_files(files)?;
        Ok(compiler)
    };
    // As the compiler encodes them: with the options that google.api defines.
    let described = compile(false, &[FILES, ERRORS].concat())?;
    fs::write(out.join("opgate.v1.bin"), described.encode_file_descriptor_set())?;
    // Comments become the documentation of the generated code.
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".opgate.v1")
        .compile_fds(compile(true, FILES)?.file_descriptor_set())?;
    // The directory stands for every file in it.
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=../../gateway/rpc/proto");
    Ok(())
}
