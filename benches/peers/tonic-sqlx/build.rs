//! Compiles the service's protos.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../../proto");
    let files = protox::compile(["deskledger/v1/chat_message.proto"], ["../../../proto"])?;
    // The other calls are answered UNIMPLEMENTED.
    tonic_prost_build::configure().build_client(false).build_transport(false).generate_default_stubs(true).compile_fds(files)?;
    Ok(())
}
