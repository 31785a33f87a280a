//! gRPC-Web: what a browser or a plain HTTP/1.1 client gets of the same calls.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{World, pb};

/// The two forms on the wire: bytes, and the same in base64.
const FORMS: [&str; 2] = ["application/grpc-web", "application/grpc-web-text"];

#[tokio::test]
async fn a_unary_call_over_http_1_answers_its_message_and_then_the_status() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    for form in FORMS {
        let answer = post(&world, form, &credential(Some(&actor.token)), &pb::GetTicketRequest { id: ticket.id }).await;

        assert_eq!(answer.status, "HTTP/1.1 200 OK");
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with(form)), "{:?}", answer.headers);
        let message = pb::GetTicketResponse::decode(answer.message().expect("a message")).expect("the answer's type");
        assert_eq!(message.ticket.as_ref(), Some(&ticket));
        assert_eq!(answer.grpc_status().as_deref(), Some("0"), "{form}");
    }
}

#[tokio::test]
async fn a_refusal_over_http_1_says_its_status_and_its_details() {
    let world = World::new().await;
    let actor = world.actor().await;
    for form in FORMS {
        for (token, request, code) in
            [(Some(actor.token.as_str()), 404, "5"), (Some(actor.token.as_str()), 0, "3"), (None, 404, "16")]
        {
            let answer = post(&world, form, &credential(token), &pb::GetTicketRequest { id: request }).await;

            assert_eq!(answer.status, "HTTP/1.1 200 OK");
            assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with(form)), "{:?}", answer.headers);
            assert_eq!(answer.message(), None);
            assert_eq!(answer.grpc_status().as_deref(), Some(code), "{form}");
            assert!(answer.trailer("grpc-status-details-bin").is_some(), "{form}");
        }
    }
}

#[tokio::test]
async fn a_call_over_its_deadline_is_told_in_the_form_of_its_request() {
    let world = World::new().await;
    let actor = world.actor().await;
    // While the table is locked the call cannot end in time.
    let mut lock = world.database.connect().await;
    sqlx::raw_sql("begin; lock table tickets").execute(&mut lock).await.expect("the lock");
    for form in FORMS {
        let headers = format!("{}grpc-timeout: 10m\r\n", credential(Some(&actor.token)));
        let answer = post(&world, form, &headers, &pb::GetTicketRequest { id: 1 }).await;

        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with(form)), "{:?}", answer.headers);
        assert_eq!(answer.grpc_status().as_deref(), Some("4"), "{form}");
    }
}

/// An answer of HTTP/1.1, its body taken out of its chunks and its base64.
struct Answer {
    status: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The frames of the body: a flag that says what it is, and the bytes.
    fn frames(&self) -> Vec<(u8, &[u8])> {
        let (mut frames, mut rest) = (Vec::new(), self.body.as_slice());
        while let Some((head, tail)) = rest.split_at_checked(5) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let (frame, tail) = tail.split_at(length);
            frames.push((head[0], frame));
            rest = tail;
        }
        frames
    }

    fn message(&self) -> Option<&[u8]> {
        self.frames().into_iter().find(|(flag, _)| *flag == 0).map(|(_, frame)| frame)
    }

    /// A trailer, from the last frame or, where the answer has no body, from the headers.
    fn trailer(&self, name: &str) -> Option<String> {
        let frames = self.frames();
        let Some((_, frame)) = frames.iter().find(|(flag, _)| *flag == 0x80) else { return self.header(name).map(str::to_owned) };
        let text = String::from_utf8_lossy(frame).into_owned();
        text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned())
    }

    fn grpc_status(&self) -> Option<String> {
        self.trailer("grpc-status")
    }
}

fn credential(token: Option<&str>) -> String {
    token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default()
}

/// Calls `GetTicket` by hand: no client of ours speaks gRPC-Web. Each header ends its line.
async fn post(world: &World, form: &str, headers: &str, request: &pb::GetTicketRequest) -> Answer {
    let message = request.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).expect("a short message").to_be_bytes());
    frame.extend(message);
    let is_text = form.ends_with("-text");
    let body = if is_text { STANDARD.encode(&frame).into_bytes() } else { frame };
    let head = format!(
        "POST /deskledger.v1.TicketService/GetTicket HTTP/1.1\r\nhost: {}\r\ncontent-type: {form}\r\naccept: {form}\r\n\
         {headers}content-length: {}\r\nconnection: close\r\n\r\n",
        world.address,
        body.len()
    );
    let mut stream = TcpStream::connect(&world.address).await.expect("the service listens");
    stream.write_all(&[head.into_bytes(), body].concat()).await.expect("the request is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the answer ends with the connection");
    let mut answer = parse(&answer);
    if is_text {
        answer.body = decode(&answer.body);
    }
    answer
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("the head ends");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().expect("a status line").to_owned();
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(key, value)| (key.to_lowercase(), value.to_owned())).collect();
    let body = &answer[end + 4..];
    let chunked = headers.iter().any(|(key, value)| key == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_vec() };
    Answer { status, headers, body }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|part| part == b"\r\n").expect("a chunk's length ends");
        let length = usize::from_str_radix(&String::from_utf8_lossy(&body[..end]), 16).expect("a chunk's length");
        if length == 0 {
            return whole;
        }
        whole.extend(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
}

/// Each part of the text is padded by itself: four letters are three bytes or, with padding, the end of a part.
fn decode(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|letters| STANDARD.decode(letters).expect("base64")).collect()
}
