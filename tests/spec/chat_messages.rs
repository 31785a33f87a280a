//! Chat messages: who may send, what each field takes, and that it comes back as it was sent.

use pb::UserType::{self, Agent, Customer, Event};
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::support::actor::{customer_message, message_of};
use crate::support::ticket::{EVERY_STATUS, full_agent};
use crate::support::{Actor, World, pb, refusal};

/// A message with a value in every field that a caller gives.
fn full_message() -> pb::ChatMessage {
    pb::ChatMessage {
        user_sendbird_id: "ada".to_owned(),
        user_type: Customer as i32,
        create_time: Some(Timestamp { seconds: 1_773_576_000, nanos: 123_456_000 }),
        message: "Where is my parcel?".to_owned(),
        data: r#"{"order":  1}"#.to_owned(),
        files: vec![
            pb::File {
                url: "https://files.example.com/1".to_owned(),
                name: "label.png".to_owned(),
                content_type: "image/png".to_owned(),
                size_bytes: 12,
            },
            pb::File { url: "https://files.example.com/2".to_owned(), ..Default::default() },
        ],
        external_id: "sender-1".to_owned(),
        ..Default::default()
    }
}

async fn create(actor: &mut Actor, ticket_id: i64, message: pb::ChatMessage) -> Result<pb::ChatMessage, Status> {
    let request = pb::CreateChatMessageRequest { ticket_id, chat_message: Some(message), ..Default::default() };
    let answer = actor.messages.create_chat_message(request).await?.into_inner();
    assert!(!answer.duplicate);
    Ok(answer.chat_message.expect("it is answered"))
}

async fn get(actor: &mut Actor, ticket_id: i64, id: i64) -> Result<pb::ChatMessage, Status> {
    let answer = actor.messages.get_chat_message(pb::GetChatMessageRequest { ticket_id, id }).await?;
    Ok(answer.into_inner().chat_message.expect("it is answered"))
}

#[tokio::test]
async fn every_field_of_a_message_comes_back_and_output_only_fields_are_ignored() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let given = pb::ChatMessage {
        id: 999,
        message_id: 999,
        ticket_id: 999,
        delete_time: Some(Timestamp { seconds: 1, nanos: 0 }),
        requested_from: pb::RequestedFrom::Dashboard as i32,
        requested_by: Some(full_agent()),
        ..full_message()
    };

    let created = create(&mut actor, ticket.id, given).await.expect("the message is stored");

    assert_ne!(created.id, 999);
    let expected = pb::ChatMessage { id: created.id, message_id: 1, ticket_id: ticket.id, ..full_message() };
    assert_eq!(created, expected);
    assert_eq!(get(&mut actor, ticket.id, created.id).await.expect("it is there"), expected);
    assert_eq!(actor.list(ticket.id).await, [expected]);
}

#[tokio::test]
async fn messages_are_stored_in_a_ticket_of_any_status() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    for status in EVERY_STATUS {
        let ticket = actor.ticket_in(status).await;
        let stored = create(&mut actor, ticket.id, customer_message("hello")).await.expect("any status will do");
        assert_eq!(actor.list(ticket.id).await, [stored]);
        assert_eq!(actor.ticket(ticket.id).await.status(), status);
    }
}

#[tokio::test]
async fn an_event_is_sent_by_event_and_any_other_message_by_a_user() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let longest = "é".repeat(80);
    let rows: [(UserType, &str, Result<&str, &str>); 11] = [
        (Event, "", Ok("event")),
        (Event, "event", Ok("event")),
        (Event, "ada", Err("The value of chat_message.user_sendbird_id should be one of event.")),
        (Event, "EVENT", Err("The value of chat_message.user_sendbird_id should be one of event.")),
        (Agent, "grace", Ok("grace")),
        (Agent, "", Err("The chat_message.user_sendbird_id parameter is required.")),
        (Customer, "ada", Ok("ada")),
        (Customer, &longest, Ok(&longest)),
        (Customer, &(longest.clone() + "x"), Err("The value of chat_message.user_sendbird_id should have 1 to 80 characters.")),
        (Customer, "", Err("The chat_message.user_sendbird_id parameter is required.")),
        (UserType::Unspecified, "ada", Err("The chat_message.user_type parameter is required.")),
    ];
    for (user_type, user_sendbird_id, expected) in rows {
        let answer = create(&mut actor, ticket.id, message_of(user_type, user_sendbird_id, "hello")).await;
        match (answer, expected) {
            (Ok(stored), Ok(expected)) => assert_eq!((stored.user_type(), &*stored.user_sendbird_id), (user_type, expected)),
            (Err(refused), Err(expected)) => assert_eq!(refusal(&refused).message, expected),
            (answer, expected) => panic!("{user_type:?} {user_sendbird_id}: {answer:?} instead of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_create_time_is_cut_to_microseconds_and_is_now_where_none_is_given() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    world.clock.set("2026-03-15T12:00:00.123456Z");
    world.clock.freeze();
    let time = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let (first, last) = (-62_135_596_800, 253_402_300_799);
    let stored = [
        (None, time(1_773_576_000, 123_456_000)),
        (time(0, 0), time(0, 0)),
        (time(1_773_576_000, 1_999), time(1_773_576_000, 1_000)),
        (time(-1, 999_999_999), time(-1, 999_999_000)),
        (time(first, 0), time(first, 0)),
        (time(last, 999_999_999), time(last, 999_999_000)),
    ];
    for (given, expected) in stored {
        let message = pb::ChatMessage { create_time: given, ..customer_message("hello") };
        assert_eq!(create(&mut actor, ticket.id, message).await.expect("a time in range").create_time, expected);
    }
    let refused =
        [(first - 1, 999_999_999), (last + 1, 0), (59, 1_000_000_000), (0, -1), (i64::MIN, 0), (i64::MAX, 0), (0, i32::MIN)];
    for (seconds, nanos) in refused {
        let message = pb::ChatMessage { create_time: time(seconds, nanos), ..customer_message("hello") };
        let refused = refusal(&create(&mut actor, ticket.id, message).await.expect_err("no time in range"));
        let expected = "The value of chat_message.create_time should be a time from year 1 to 9999.";
        assert_eq!(refused.message, expected, "{seconds} {nanos}");
    }
}

type SetText = fn(&mut pb::ChatMessage, String);

/// Each text of a message: its field, how many it has at least and at most, of what, and how it is set.
const TEXTS: [(&str, usize, usize, &str, SetText); 7] = [
    ("chat_message.user_sendbird_id", 1, 80, "characters", |message, text| message.user_sendbird_id = text),
    ("chat_message.message", 0, 32_768, "bytes", |message, text| message.message = text),
    ("chat_message.data", 0, 32_768, "bytes", |message, text| message.data = text),
    ("chat_message.external_id", 0, 255, "characters", |message, text| message.external_id = text),
    ("chat_message.files[1].url", 1, 2048, "characters", |message, text| message.files[1].url = text),
    ("chat_message.files[1].name", 0, 255, "characters", |message, text| message.files[1].name = text),
    ("chat_message.files[1].content_type", 0, 255, "characters", |message, text| message.files[1].content_type = text),
];

#[tokio::test]
async fn every_text_of_a_message_has_a_length_and_no_nul() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let mut stored = Vec::new();
    for (field, min, max, unit, set) in TEXTS {
        let most = if unit == "bytes" { "é".repeat(max / 2) } else { "é".repeat(max) };
        let with = |text: &str| {
            let mut message = pb::ChatMessage { external_id: String::new(), ..full_message() };
            set(&mut message, text.to_owned());
            message
        };
        stored.push(create(&mut actor, ticket.id, with(&most)).await.expect("the text is at its limit"));
        let newest = stored.last().expect("it was stored");
        assert_eq!(pb::ChatMessage { id: 0, message_id: 0, ticket_id: 0, ..newest.clone() }, with(&most), "{field}");

        let rule = if min == 0 { format!("at most {max} {unit}") } else { format!("{min} to {max} {unit}") };
        let wrong = [
            (most + "x", format!("The value of {field} should have {rule}.")),
            ("a\0b".to_owned(), format!("The value of {field} should not hold the character U+0000.")),
        ];
        for (text, expected) in wrong {
            let refused = refusal(&create(&mut actor, ticket.id, with(&text)).await.expect_err("the text breaks a rule"));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
            assert_eq!(refused.fields, [(field.to_owned(), expected)]);
        }
    }
    assert_eq!(actor.list(ticket.id).await, stored, "what was refused was not stored");
}

#[tokio::test]
async fn a_message_has_at_most_twenty_files_each_with_a_url_and_a_size() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let file = pb::File { url: "https://files.example.com/1".to_owned(), ..Default::default() };
    let max = 9_007_199_254_740_991;
    let with = |files: Vec<pb::File>| pb::ChatMessage { files, ..customer_message("see") };
    let sized = |size_bytes| with(vec![pb::File { size_bytes, ..file.clone() }]);

    let most = vec![pb::File { size_bytes: max, ..file.clone() }; 20];
    assert_eq!(create(&mut actor, ticket.id, with(most.clone())).await.expect("twenty files").files, most);

    let rows = [
        (with(vec![file.clone(); 21]), "chat_message.files", "ITEMS"),
        (with(vec![file.clone(), pb::File::default()]), "chat_message.files[1].url", "REQUIRED"),
        (sized(-1), "chat_message.files[0].size_bytes", "RANGE"),
        (sized(max + 1), "chat_message.files[0].size_bytes", "RANGE"),
    ];
    for (message, field, rule) in rows {
        let refused = refusal(&create(&mut actor, ticket.id, message).await.expect_err("a file breaks a rule"));
        assert_eq!((refused.metadata["field"].as_str(), refused.metadata["rule"].as_str()), (field, rule));
    }
}

#[tokio::test]
async fn texts_of_all_scripts_come_back_byte_for_byte() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let ticket = actor.open_ticket().await;
    let controls: String = ('\u{1}'..='\u{1f}').chain(['\u{7f}', '\u{85}', '\u{a0}', '\u{2028}']).collect();
    let texts = [
        " ",
        "Grüße, 你好, שלום, สวัสดี, नमस्ते",
        "👩‍👩‍👧‍👦🏳️‍🌈🇺🇳👍🏽",
        "e\u{301} and é are not the same",
        "\u{feff}\u{202e}\u{fffd}\u{fffe}\u{ffff}\u{e000}\u{10ffff}",
        &controls,
        "\r\n\t'\"\\ \\u0000 \\x00 $1 %s {} null NULL \\N",
        r#"{"a": "\u0000", "b": [1, {}]}"#,
    ];
    let mut sent = Vec::new();
    for text in texts {
        let text = text.to_owned();
        sent.push(pb::ChatMessage {
            user_sendbird_id: text.clone(),
            message: text.clone(),
            data: text.clone(),
            external_id: text.clone(),
            files: vec![pb::File { url: text.clone(), name: text.clone(), content_type: text, size_bytes: 0 }],
            ..full_message()
        });
    }
    actor.send_all(ticket.id, sent.clone()).await;

    let listed = actor.list(ticket.id).await;

    let given = |message: pb::ChatMessage| pb::ChatMessage { id: 0, message_id: 0, ticket_id: 0, ..message };
    assert_eq!(listed.into_iter().map(given).collect::<Vec<_>>(), sent);
    assert_eq!(actor.ticket(ticket.id).await.last_message, sent[7].message);
}

#[tokio::test]
async fn a_message_is_found_in_its_own_ticket_only() {
    let world = World::new().await;
    let mut actor = world.actor().await;
    let (ticket, messages) = actor.ticket_with(2).await;
    let other_ticket = actor.open_ticket().await.id;
    let (foreign_ticket, foreign) = world.actor_of("globex").await.ticket_with(1).await;
    let elsewhere = [
        (other_ticket, messages[0].id),
        (ticket.id, foreign[0].id),
        (foreign_ticket.id, foreign[0].id),
        (ticket.id, i64::MAX),
        (-1, -1),
    ];
    for (ticket_id, id) in elsewhere {
        let refused = refusal(&get(&mut actor, ticket_id, id).await.expect_err("it is not there"));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "CHAT_MESSAGE_NOT_FOUND"));
        assert_eq!(refused.message, "The specified message doesn't exist.");
        assert_eq!((&refused.metadata["ticket_id"], &refused.metadata["id"]), (&ticket_id.to_string(), &id.to_string()));
    }
    let refused = refusal(&get(&mut actor, 0, 0).await.expect_err("no message is named"));
    assert_eq!(refused.field_names(), ["ticket_id", "id"]);
    for ticket_id in [foreign_ticket.id, -1, i64::MAX] {
        let refused = create(&mut actor, ticket_id, customer_message("hello")).await.expect_err("there is no such ticket");
        assert_eq!(refusal(&refused).reason, "TICKET_NOT_FOUND");
        let list = pb::ListChatMessagesRequest { ticket_id, ..Default::default() };
        let refused = actor.messages.list_chat_messages(list).await.expect_err("there is no such ticket");
        assert_eq!(refusal(&refused).reason, "TICKET_NOT_FOUND");
    }
}
