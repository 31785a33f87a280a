//! HTTP/2 frame by frame, for what no library sends.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The setting `SETTINGS_INITIAL_WINDOW_SIZE`.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame as it comes.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection of HTTP/2 on which nothing happens by itself.
pub struct Frames {
    pub stream: TcpStream,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length that fits").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The bytes of a header, literal and never indexed; the name has at most 126 bytes.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x10];
    for text in [name, value] {
        match u8::try_from(text.len()) {
            Ok(length @ 0..127) => bytes.push(length),
            _ => {
                bytes.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).expect("seven bits"));
            }
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The headers of a request.
pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    pseudo.iter().chain(more).flat_map(|(name, value)| header(name, value)).collect()
}

impl Frames {
    /// Connects, says the preface and these settings.
    pub async fn connect(address: &str, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self { stream: TcpStream::connect(address).await.expect("the service listens") };
        let settings: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat();
        frames.write(&begin).await.expect("the preface is sent");
        frames
    }

    /// Writes bytes; an error is the other side's who has had enough.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await.expect("the frame is sent");
    }

    /// Opens a stream with a request that has no body.
    pub async fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", path, &[])).await;
    }

    /// The next frame; `None` when the connection is closed or reset.
    pub async fn next(&mut self) -> Option<Frame> {
        Reader(&mut self.stream).next().await
    }

    /// Waits for a frame of a kind; `None` when the connection ends before one came.
    pub async fn wait_for(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads to the end, and answers what came.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

/// The side of a connection that reads.
pub struct Reader<R>(pub R);

impl<R: AsyncRead + Unpin> Reader<R> {
    /// The next frame; `None` when the connection is closed or reset.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("a length")];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }
}

/// The error code that a `RST_STREAM` or GOAWAY carries.
pub fn error_code(frame: &Frame) -> u32 {
    let at = if frame.kind == GOAWAY { 4 } else { 0 };
    u32::from_be_bytes(frame.payload[at..at + 4].try_into().expect("four bytes"))
}
