//! The code generated from the protos: the messages that the gRPC door and the client both speak.

// Nothing here is written by hand; build.rs says how it is made.
tonic::include_proto!("deskledger.v1");
