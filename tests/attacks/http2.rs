//! Floods of frames, and windows that stay shut.

use tokio::io::AsyncWriteExt;

use super::Target;
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING,
};
use crate::support::frames::{RST_STREAM, SETTINGS, WINDOW_UPDATE, error_code, frame, header, request};

/// How many answers one client leaves untaken at a time.
const STREAMS: u32 = 30;

const FLOW_CONTROL_ERROR: u32 = 3;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What came of a flood.
#[derive(Debug)]
struct Flooded {
    /// Whether the service closed the connection before the flood was over.
    cut_off: bool,
    /// The error of the service's last GOAWAY.
    error: Option<u32>,
}

/// Sends pieces until the service has had enough or they are over, and reads all that comes meanwhile.
async fn flood(frames: Frames, pieces: impl Iterator<Item = Vec<u8>>) -> Flooded {
    let (reader, mut writer) = frames.stream.into_split();
    let reading = tokio::spawn(async move {
        let mut frames = crate::support::frames::Reader(reader);
        let mut error = None;
        while let Some(frame) = frames.next().await {
            if frame.kind == GOAWAY {
                error = Some(error_code(&frame));
            }
        }
        error
    });
    let mut cut_off = false;
    for piece in pieces {
        if writer.write_all(&piece).await.is_err() {
            cut_off = true;
            break;
        }
    }
    drop(writer);
    Flooded { cut_off, error: reading.await.expect("no panic") }
}

/// The ids of a client's streams.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

#[tokio::test]
async fn rapid_resets_are_cut_off() {
    let mut target = Target::new(&[]).await;
    let frames = Frames::connect(&target.address, &[]).await;
    let bearer = format!("Bearer {}", target.token);
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", bearer.as_str())];
    let call = request("POST", "/deskledger.v1.TicketService/ListTickets", &headers);
    let cancel = 8_u32.to_be_bytes();
    let pieces =
        streams(200_000).map(|stream| [frame(HEADERS, END_HEADERS, stream, &call), frame(RST_STREAM, 0, stream, &cancel)].concat());

    let flooded = flood(frames, pieces).await;

    assert!(flooded.cut_off || flooded.error == Some(ENHANCE_YOUR_CALM), "{flooded:?}");
    target.stands().await;
}

#[tokio::test]
async fn headers_without_an_end_are_cut_off() {
    let mut target = Target::new(&[]).await;
    let frames = Frames::connect(&target.address, &[]).await;
    let begin = frame(HEADERS, END_STREAM, 1, &request("GET", "/docs", &[]));
    let more = frame(CONTINUATION, 0, 1, &header("x-more", &"x".repeat(16_000)));
    let pieces = std::iter::once(begin).chain(std::iter::repeat_n(more, 20_000));

    let flooded = flood(frames, pieces).await;

    assert!(flooded.cut_off || flooded.error.is_some(), "{flooded:?}");
    target.stands().await;

    // Small ones, too, and empty ones.
    for payload in [header("x", "y"), Vec::new()] {
        let frames = Frames::connect(&target.address, &[]).await;
        let begin = frame(HEADERS, END_STREAM, 1, &request("GET", "/docs", &[]));
        let pieces = std::iter::once(begin).chain(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &payload), 500_000));
        let flooded = flood(frames, pieces).await;
        assert!(flooded.cut_off || flooded.error.is_some(), "{flooded:?}");
        target.stands().await;
    }
}

#[tokio::test]
async fn headers_that_grow_when_they_are_unpacked_are_not_kept() {
    let mut target = Target::new(&[]).await;
    let mut frames = Frames::connect(&target.address, &[]).await;
    // A large header goes into the table of the connection once, and is then named by one byte, again and again.
    let large = "x".repeat(3_500);
    let indexed = [&[0x40, 1, b'a', 127][..], &[0xad, 0x1a], large.as_bytes()].concat();
    let mut block = request("GET", "/docs", &[]);
    block.extend(indexed);
    block.extend(std::iter::repeat_n(0xbe, 10_000));
    frames.send(HEADERS, END_STREAM | END_HEADERS, 1, &block).await;
    let pieces = streams(2_000).skip(1).map(|stream| {
        let mut block = request("GET", "/docs", &[]);
        block.extend(std::iter::repeat_n(0xbe, 10_000));
        frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
    });

    flood(frames, pieces).await;

    target.stands().await;
}

#[tokio::test]
async fn floods_of_small_frames_cost_no_memory() {
    let mut target = Target::new(&[]).await;
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]);
    let ping = frame(PING, 0, 0, b"8 bytes.");
    let ping_answer = frame(PING, ACK, 0, b"8 bytes.");
    let window = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    let priority = frame(2, 0, 3, &[0, 0, 0, 0, 16]);
    let unknown = frame(0xee, 0, 0, b"what is this?");
    for small in [settings, ping, ping_answer, window, priority, unknown] {
        let frames = Frames::connect(&target.address, &[]).await;
        flood(frames, std::iter::repeat_n(small.repeat(100), 2_000)).await;
        target.stands().await;
    }
}

#[tokio::test]
async fn pings_of_a_client_that_does_not_read_the_answers_are_not_kept() {
    let mut target = Target::new(&["--stall-timeout-seconds", "1"]).await;
    let mut frames = Frames::connect(&target.address, &[]).await;
    let pings = frame(PING, 0, 0, b"8 bytes.").repeat(1_000);
    // The service takes no more than it can answer, and leaves who does not read.
    while frames.stream.write_all(&pings).await.is_ok() {}
    target.stands().await;
}

#[tokio::test]
async fn empty_frames_of_a_body_are_cut_off() {
    let mut target = Target::new(&[]).await;
    let mut frames = Frames::connect(&target.address, &[]).await;
    let bearer = format!("Bearer {}", target.token);
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", bearer.as_str())];
    frames.send(HEADERS, END_HEADERS, 1, &request("POST", "/deskledger.v1.TicketService/ListTickets", &headers)).await;
    let empty = frame(DATA, 0, 1, b"");
    flood(frames, std::iter::repeat_n(empty.repeat(100), 10_000)).await;
    target.stands().await;
}

#[tokio::test]
async fn a_window_that_overflows_ends_the_connection() {
    let mut target = Target::new(&[]).await;
    let frames = Frames::connect(&target.address, &[]).await;
    let most = frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
    let flooded = flood(frames, std::iter::repeat_n(most, 1_000)).await;
    assert_eq!(flooded.error, Some(FLOW_CONTROL_ERROR), "{flooded:?}");
    target.stands().await;
}

#[tokio::test]
async fn answers_that_nobody_takes_are_not_kept() {
    // Nor are these clients left for not answering pings.
    let mut target = Target::new(&["--stall-timeout-seconds", "1", "--keepalive-seconds", "600"]).await;
    // Page after page of large messages, asked for and not taken, by windows that are shut or nearly so.
    let text = "x".repeat(5_000);
    let messages = (0..100).map(|_| crate::support::actor::customer_message(&text)).collect();
    target.good.send_all(target.ticket, messages).await;
    let list = crate::support::pb::ListChatMessagesRequest { ticket_id: target.ticket, page_size: 100, ..Default::default() };
    let body = crate::support::raw_line::frame(&prost::Message::encode_to_vec(&list));
    let bearer = format!("Bearer {}", target.token);
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", bearer.as_str())];
    let call = request("POST", "/deskledger.v1.ChatMessageService/ListChatMessages", &headers);
    // Were the answers of one round kept, the next ones would show it.
    for window in [0, 1].repeat(4) {
        let mut frames = Frames::connect(&target.address, &[(INITIAL_WINDOW_SIZE, window)]).await;
        for stream in streams(STREAMS) {
            let asked = [frame(HEADERS, END_HEADERS, stream, &call), frame(DATA, END_STREAM, stream, &body)].concat();
            frames.write(&asked).await.expect("the call is sent");
        }
        target.stands().await;
        let mut reset = 0;
        for _ in streams(STREAMS) {
            // A call may be refused, too, where the service has enough to do.
            let ended = loop {
                let frame = frames.next().await.expect("every stream ends");
                if frame.kind == RST_STREAM || frame.kind == HEADERS && frame.flags & END_STREAM != 0 {
                    break frame;
                }
            };
            reset += usize::from(ended.kind == RST_STREAM);
        }
        assert!(reset > 0, "those whose answers were there are reset");
        target.stands().await;
    }
}

#[tokio::test]
async fn frames_that_come_in_parts_keep_no_connection() {
    let mut target = Target::new(&["--keepalive-seconds", "5"]).await;
    let mut frames = Frames::connect(&target.address, &[]).await;
    // Headers whose end does not come: no ping can be answered in their middle.
    let headers = frame(HEADERS, 0, 1, &request("GET", "/docs", &[]));
    frames.write(&headers[..headers.len() - 5]).await.expect("the bytes are sent");
    frames.rest().await;
    target.stands().await;
}
