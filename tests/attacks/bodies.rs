//! Bodies that are too large, too deep, or larger than they look.

use prost::Message;
use tokio::io::AsyncWriteExt;
use tonic::Code;

use super::Target;
use crate::support::raw_line::{Answer, RawLine};
use crate::support::refusal;

const WEBHOOK: &str = "/desk/api/v2/conversationmessages/webhooks.json";

/// A request of HTTP/1 with a token and a body.
fn request(target: &Target, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: desk\r\nConnection: close\r\nSENDBIRDDESKAPITOKEN: {}\r\nContent-Length: {}\r\n\r\n",
        target.token,
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What the service says to a body that is compressed, as a message of this encoding.
async fn compressed(target: &Target, method: &str, encoding: &str, message: &[u8]) -> Answer {
    let mut line = RawLine::to(&target.address, &target.token).await;
    let length = u32::try_from(message.len()).expect("a length that fits");
    let body = [&[1][..], &length.to_be_bytes(), message].concat();
    line.call(method, &[("grpc-encoding", encoding)], body).await
}

#[tokio::test]
async fn json_that_is_deeply_nested_or_endless_is_refused() {
    let mut target = Target::new(&[]).await;
    let deep = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for body in [
        deep("[", "]", 100_000),
        deep("{\"a\":", "}", 40_000),
        format!("{{\"customer\": {}}}", deep("[", "]", 100_000)),
        format!("{{\"customFields\": {}}}", deep("{\"a\":", "}", 30_000)),
        "[".repeat(200_000),
    ] {
        for (method, path) in [("POST", "/platform/v1/tickets"), ("POST", WEBHOOK)] {
            let answer = target.answer(&request(&target, method, path, body.as_bytes())).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path} {}: {answer}", &body[..20]);
        }
    }
    // In a batch only the event that is so deep is bad, and it is kept as a text.
    let event = format!("{{\"id\": 1, \"contactId\": 1, \"message\": {}}}", deep("[", "]", 100_000));
    let answer =
        target.answer(&request(&target, "POST", WEBHOOK, format!("{{\"conversationmessages\": [{event}]}}").as_bytes())).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 201 "), "{answer}");
    target.stands().await;
}

#[tokio::test]
async fn bodies_that_are_too_large_are_not_read() {
    let mut target = Target::new(&[]).await;
    for (path, length) in [("/platform/v1/tickets", 100_000_000_usize), (WEBHOOK, 100_000_000)] {
        let body = vec![b' '; length];
        let answer = target.answer(&request(&target, "POST", path, &body)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        // Without a length that announces it.
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: desk\r\nConnection: close\r\nSENDBIRDDESKAPITOKEN: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            target.token
        );
        let chunk = [&b"10000\r\n"[..], &vec![b' '; 0x10000], b"\r\n"].concat();
        let answer = target.answer(&[head.as_bytes(), &chunk.repeat(1_000)].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        target.stands().await;
    }
}

#[tokio::test]
async fn bodies_that_come_slowly_end_with_the_time_of_their_call() {
    let mut target = Target::new(&["--request-timeout-seconds", "1"]).await;
    for path in ["/platform/v1/tickets", WEBHOOK] {
        let whole = request(&target, "POST", path, b"{\"channelName\": \"x\"}");
        let answer = target.answer(&whole[..whole.len() - 5]).await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{path}: {answer}");
    }
    let mut stream = target.connect().await;
    stream.write_all(&request(&target, "POST", WEBHOOK, &vec![b' '; 1_000_000])[..5_000]).await.expect("the call begins");
    // A byte now and then does not help.
    while stream.write_all(b" ").await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    target.stands().await;
}

#[tokio::test]
async fn messages_that_grow_when_they_are_unpacked_are_refused_before_they_have() {
    let mut target = Target::new(&[]).await;
    let zeros = vec![0; 512 * 1024 * 1024];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &zeros).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let zstd = zstd::encode_all(&zeros[..], 19).expect("memory");
    drop(zeros);
    // A frame that wants a window of 128 MiB, for a few bytes.
    let mut wide = zstd::Encoder::new(Vec::new(), 19).expect("an encoder");
    wide.window_log(27).expect("a window");
    std::io::Write::write_all(&mut wide, b"\x08\x01").expect("memory");
    let wide = wide.finish().expect("memory");
    for method in ["TicketService/GetTicket", "ChatMessageService/GetChatMessage"] {
        for (encoding, bomb) in [("gzip", &gzip), ("zstd", &zstd)] {
            let answer = compressed(&target, method, encoding, bomb).await;
            let refused = refusal(answer.status());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_TOO_LARGE"), "{encoding}");
        }
        for _ in 0..10 {
            compressed(&target, method, "zstd", &wide).await;
        }
    }
    target.stands().await;
}

#[tokio::test]
async fn messages_that_are_deeply_nested_are_refused() {
    let mut target = Target::new(&[]).await;
    // Groups within groups of a field that no message has, and messages within messages.
    let groups = [vec![0x7b; 100_000], vec![0x7c; 100_000]].concat();
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.extend(&nested[..nested.len().min(60_000)]);
        nested = outer;
    }
    for body in [groups, nested] {
        let mut line = RawLine::to(&target.address, &target.token).await;
        let answer = line.call("TicketService/CreateTicket", &[], crate::support::raw_line::frame(&body)).await;
        assert_eq!(refusal(answer.status()).reason, "REQUEST_MALFORMED");
    }
    let list = crate::support::pb::ListTicketsRequest::default().encode_to_vec();
    let mut line = RawLine::to(&target.address, &target.token).await;
    let answer = line.call("TicketService/ListTickets", &[], crate::support::raw_line::frame(&list)).await;
    assert_eq!(answer.status().code(), Code::Ok);
    target.stands().await;
}
