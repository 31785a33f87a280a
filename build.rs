//! Compiles the protos with protox, so that no protoc is needed.

use std::{env, fs, path::PathBuf};

const ENCODED: &str = "crate::grpc::encoded::Encoded";

#[expect(clippy::disallowed_methods, reason = "Cargo's words to a build script, no settings")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let files =
        ["error_reason", "ticket", "chat_message", "deletion_log", "ingest"].map(|name| format!("deskledger/v1/{name}.proto"));

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    // Encoded by protox: prost would drop the options it does not know, google.api.http among them.
    let descriptor_set = PathBuf::from(env::var("OUT_DIR")?).join("descriptor_set.bin");
    fs::write(&descriptor_set, compiler.encode_file_descriptor_set())?;

    // Messages and clients as everybody has them.
    let descriptors = compiler.file_descriptor_set();
    tonic_prost_build::configure().build_transport(false).build_server(false).compile_fds(descriptors.clone())?;

    if env::var_os("CARGO_FEATURE_SERVER").is_none() {
        return Ok(());
    }
    // The servers work with the same messages, but for the answers that are encoded while rows are read (src/grpc/encoded.rs).
    let servers = PathBuf::from(env::var("OUT_DIR")?).join("servers");
    fs::create_dir_all(&servers)?;
    tonic_prost_build::configure()
        .build_transport(false)
        .build_client(false)
        .extern_path(".deskledger.v1", "crate::proto")
        .extern_path(".deskledger.v1.ListChatMessagesResponse", ENCODED)
        .extern_path(".deskledger.v1.GetChatMessageResponse", ENCODED)
        .out_dir(servers)
        .compile_fds(descriptors)?;
    Ok(())
}
