//! Calls of any method with the bytes of a request and headers of the test's choice: what generated clients keep to themselves.

use prost::bytes::{Buf, BufMut};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, MetadataMap};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A good answer: its metadata and the bytes of its messages, one for a unary method.
#[derive(Debug)]
pub struct Answer {
    pub metadata: MetadataMap,
    pub messages: Vec<Vec<u8>>,
}

/// Calls `Service/Method` of ours and reads the answer to its end.
pub async fn call(channel: &Channel, method: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, Status> {
    let mut request = Request::new(body);
    for (name, value) in headers {
        let name: AsciiMetadataKey = name.parse().expect("a header's name");
        request.metadata_mut().insert(name, value.parse().expect("a header's value"));
    }
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = format!("/deskledger.v1.{method}").parse().expect("a path");
    // A unary answer is a stream of one message.
    let response = client.server_streaming(request, path, Bytes).await?;
    let metadata = response.metadata().clone();
    let mut stream = response.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(Answer { metadata, messages })
}

/// Leaves messages as they are.
#[derive(Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}
