//! Compiles the descriptors that the crate embeds. No protoc is needed.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// What every user of google.longrunning shares, and opgate's own services.
const BASE: &[&str] = &[
    "google/api/annotations.proto",
    "google/api/httpbody.proto",
    "google/longrunning/operations.proto",
    "google/rpc/code.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
    "opgate/showcase/v1/showcase.proto",
    // Types that routes may declare without a descriptor set of their own.
    "google/protobuf/any.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/wrappers.proto",
];

/// The calls of Google's services that the default configuration offers, and remote execution.
const SURFACES: &[&str] = &[
    "build/bazel/remote/execution/v2/remote_execution.proto",
    "google/cloud/workflows/v1/workflows.proto",
    "google/identity/accesscontextmanager/v1/access_policy.proto",
    "google/identity/accesscontextmanager/v1/access_context_manager.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for (name, files, with_imports) in [("base.bin", BASE, true), ("surfaces.bin", SURFACES, false)]
    {
        let mut compiler = protox::Compiler::new(["proto", "../../gateway/rpc/proto"])?;
        compiler.include_imports(with_imports).include_source_info(false).open_files(files)?;
        fs::write(out.join(name), compiler.encode_file_descriptor_set())?;
    }
    // The directory stands for every file in it.
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=../../gateway/rpc/proto");
    Ok(())
}
