//! Generates the wire types from `proto/`, without protoc.
//!
//! The result is committed: a normal build neither compiles a protobuf compiler nor runs one. A test
//! regenerates it and compares. One Rust file a package, and `descriptor.bin` for server reflection.

use std::fs;
use std::path::Path;

use anyhow::Context;
use protox::Compiler;

/// Where the generated code is committed.
pub const COMMITTED_DIR: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/remit-proto/src/generated"
);

const PROTO_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");

/// The files to compile; what they import comes along.
const PROTO_FILES: [&str; 17] = [
    "authzed/api/v1/core.proto",
    "authzed/api/v1/debug.proto",
    "authzed/api/v1/error_reason.proto",
    "authzed/api/v1/experimental_service.proto",
    "authzed/api/v1/permission_service.proto",
    "authzed/api/v1/schema_service.proto",
    "authzed/api/v1/watch_service.proto",
    "buf/validate/violation.proto",
    "envoy/service/auth/v3/external_auth.proto",
    "remit/v1/access_service.proto",
    "remit/v1/audit_service.proto",
    "remit/v1/explain_service.proto",
    "remit/v1/node_service.proto",
    "remit/v1/permissions_service.proto",
    "remit/v1/replica_service.proto",
    "remit/v1/schema_plan_service.proto",
    "remit/v1/token_service.proto",
];

/// Only described, so they need no Rust types: the annotations of HTTP routes, and a detail of errors.
const DESCRIBED_PACKAGES: [&str; 2] = ["google.api", "buf.validate"];

/// Writes one Rust file for each package and `descriptor.bin` to `out_dir`, creating it if needed.
///
/// # Errors
/// When a `.proto` file is not valid, or `out_dir` cannot be written.
pub fn generate(out_dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(out_dir)
        .with_context(|| format!("cannot create `{}`", out_dir.display()))?;
    write_rust(out_dir)?;
    write_descriptor(out_dir)
}

fn write_rust(out_dir: &Path) -> anyhow::Result<()> {
    let mut descriptors = compile()?.file_descriptor_set();
    descriptors
        .file
        .retain(|file| !DESCRIBED_PACKAGES.contains(&file.package()));
    tonic_prost_build::configure()
        .out_dir(out_dir)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors, tonic_prost_build::Config::new())
        .with_context(|| format!("cannot generate Rust into `{}`", out_dir.display()))
}

fn write_descriptor(out_dir: &Path) -> anyhow::Result<()> {
    // Encoded by the compiler: a trip through `prost_types` would drop the `google.api.http` options.
    let descriptor = compile()?.encode_file_descriptor_set();
    let path = out_dir.join("descriptor.bin");
    fs::write(&path, descriptor).with_context(|| format!("cannot write `{}`", path.display()))
}

fn compile() -> anyhow::Result<Compiler> {
    let mut compiler = Compiler::new([PROTO_DIR]).context("cannot read `proto`")?;
    compiler
        .include_imports(true)
        // The comments become documentation, of the Rust types and of the HTTP routes.
        .include_source_info(true);
    compiler
        .open_files(PROTO_FILES)
        .context("cannot compile `proto`")?;
    Ok(compiler)
}
