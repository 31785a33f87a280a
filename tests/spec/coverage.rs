//! Nothing forgotten: every method is in the table of `support::methods` and behaves as all methods do, and every element of the protos
//! says what an element of its kind must say.

use std::collections::BTreeSet;

use deskledger::domain::caller::Scope;
use deskledger::grpc::DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::methods::{Elsewhere, Method, Rows, every_method};
use crate::support::raw::{Answer, call};
use crate::support::{World, refusal};

#[tokio::test]
async fn every_method_is_in_the_table_and_serves_its_scope_alone() {
    let world = World::signing().await;
    let rows = Rows::of(&world, &mut world.actor().await).await;
    let table = every_method(&rows);
    let listed: BTreeSet<&str> = table.iter().map(|method| method.name).collect();
    let declared: BTreeSet<String> = methods().iter().map(name_of).collect();
    assert_eq!(listed.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), declared);

    let channel = world.channel().await;
    for method in table {
        // Nothing else than the one scope is needed.
        let token = world.actor_with("acme", &[method.scope]).await.token;
        let answer = ask(&channel, &method, Some(&token), method.request.clone()).await;
        let answer = answer.unwrap_or_else(|refused| panic!("{}: {refused:?}", method.name));
        assert!(!answer.messages.is_empty(), "{}", method.name);
    }
}

#[tokio::test]
async fn every_method_refuses_every_other_scope_before_it_looks_at_anything() {
    let world = World::signing().await;
    let rows = Rows::of(&world, &mut world.actor().await).await;
    let channel = world.channel().await;
    for method in every_method(&rows) {
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| *scope != method.scope).collect();
        let token = world.actor_with("acme", &others).await.token;
        // A good request, one that lacks everything and one of impossible numbers are told the same.
        for request in [method.request.clone(), Vec::new(), negative_ids(&method)] {
            let refused = refusal(&ask(&channel, &method, Some(&token), request).await.expect_err(method.name));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "SCOPE_MISSING"), "{}", method.name);
            assert_eq!(refused.message, format!("The token lacks the scope {}.", method.scope));
            assert_eq!(refused.metadata["scope"], method.scope.as_str(), "{}", method.name);
            assert_eq!(refused.metadata["legacy_code"], "deskp403100");
        }
    }
}

#[tokio::test]
async fn every_method_keeps_applications_apart() {
    let world = World::signing().await;
    let rows = Rows::of(&world, &mut world.actor().await).await;
    let (channel, token) = (world.channel().await, world.actor_of("other").await.token);
    world.sign_log().await;
    for method in every_method(&rows) {
        match (ask(&channel, &method, Some(&token), method.request.clone()).await, method.elsewhere) {
            (Err(refused), Elsewhere::Refused(reason)) => {
                assert_eq!((refused.code(), refusal(&refused).reason.as_str()), (Code::NotFound, reason), "{}", method.name);
            }
            (Ok(answer), Elsewhere::Own) => {
                let told = answer.messages.concat();
                let theirs = [rows.log.token_id.as_bytes(), b"Ada"];
                for text in theirs {
                    assert!(!told.windows(text.len()).any(|part| part == text), "{}", method.name);
                }
            }
            (outcome, elsewhere) => panic!("{}: {elsewhere:?}, not {outcome:?}", method.name),
        }
    }
}

#[test]
fn every_method_says_its_path_for_transcoding_and_every_path_names_fields_of_its_request() {
    let pool = pool();
    let http = pool.get_extension_by_name("google.api.http").expect("the option");
    let mut paths = BTreeSet::new();
    for method in methods() {
        let options = method.options();
        assert!(options.has_extension(&http), "{} has no google.api.http", method.full_name());
        let rule = options.get_extension(&http);
        let rule = rule.as_message().expect("an HttpRule");
        let (verb, path) = ["get", "put", "post", "delete", "patch"]
            .into_iter()
            .filter(|verb| rule.has_field_by_name(verb))
            .map(|verb| (verb, text_of(rule, verb)))
            .next()
            .expect("a verb");
        for field in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            assert!(has_path(&method.input(), field), "{}: {{{field}}} is no field", method.full_name());
        }
        for (option, message) in [("body", method.input()), ("response_body", method.output())] {
            let field = text_of(rule, option);
            assert!(field.is_empty() || field == "*" || has_path(&message, &field), "{}: {option}", method.full_name());
        }
        assert!(paths.insert((verb, path.clone())), "{path} is used twice");
    }
}

#[test]
fn every_field_of_a_request_says_how_it_behaves() {
    let pool = pool();
    let behavior = pool.get_extension_by_name("google.api.field_behavior").expect("the option");
    let mut seen = BTreeSet::new();
    let mut open: Vec<MessageDescriptor> = methods().iter().map(MethodDescriptor::input).collect();
    while let Some(message) = open.pop() {
        if message.package_name() != "deskledger.v1" || !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        for field in message.fields() {
            assert!(field.options().has_extension(&behavior), "{} has no google.api.field_behavior", field.full_name());
            open.extend(message_of(&field));
        }
    }
    assert!(seen.contains("deskledger.v1.File"), "messages within messages are looked at");
}

#[test]
fn every_element_of_the_protos_has_a_comment() {
    for file in pool().files().filter(|file| file.package_name() == "deskledger.v1") {
        let proto = file.file_descriptor_proto();
        let commented: BTreeSet<&[i32]> = proto
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter(|location| location.leading_comments.as_deref().is_some_and(|comment| !comment.trim().is_empty()))
            .map(|location| location.path.as_slice())
            .collect();
        let check = |path: &[i32], name: &str| assert!(commented.contains(path), "{name} in {} has no comment", file.name());
        for service in file.services() {
            check(service.path(), service.full_name());
            service.methods().for_each(|method| check(method.path(), method.full_name()));
        }
        for message in file.messages() {
            check(message.path(), message.full_name());
            message.fields().for_each(|field| check(field.path(), field.full_name()));
            message.oneofs().filter(|oneof| !oneof.is_synthetic()).for_each(|oneof| check(oneof.path(), oneof.full_name()));
            assert_eq!(message.child_messages().count() + message.child_enums().count(), 0, "nested types are not looked at yet");
        }
        for enumeration in file.enums() {
            check(enumeration.path(), enumeration.full_name());
            enumeration.values().for_each(|value| check(value.path(), value.full_name()));
        }
    }
}

#[test]
fn every_enumeration_begins_with_its_unspecified_value() {
    let enums: Vec<_> = pool().all_enums().filter(|kind| kind.package_name() == "deskledger.v1").collect();
    assert_eq!(enums.len(), 10);
    for kind in enums {
        let prefix = screaming(kind.name());
        assert_eq!(kind.default_value().name(), format!("{prefix}_UNSPECIFIED"));
        assert_eq!(kind.default_value().number(), 0);
        assert!(kind.values().all(|value| value.name().starts_with(&format!("{prefix}_"))), "{}", kind.name());
    }
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set of this build")
}

fn methods() -> Vec<MethodDescriptor> {
    let ours = |service: &prost_reflect::ServiceDescriptor| service.package_name() == "deskledger.v1";
    pool().services().filter(ours).flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn name_of(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().name(), method.name())
}

/// A request of the method's type with -1 in every number it has.
fn negative_ids(method: &Method) -> Vec<u8> {
    let declared = methods().into_iter().find(|declared| name_of(declared) == method.name).expect("the method is declared");
    let mut request = DynamicMessage::new(declared.input());
    for field in declared.input().fields().filter(|field| !field.is_list()) {
        match field.kind() {
            Kind::Int64 => request.set_field(&field, Value::I64(-1)),
            Kind::Int32 => request.set_field(&field, Value::I32(-1)),
            _ => {}
        }
    }
    prost::Message::encode_to_vec(&request)
}

async fn ask(channel: &Channel, method: &Method, token: Option<&str>, request: Vec<u8>) -> Result<Answer, tonic::Status> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    call(channel, method.name, &headers, request).await
}

fn text_of(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Whether a message has a field of this path, such as `ticket.id`.
fn has_path(message: &MessageDescriptor, path: &str) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Some(field) = message.get_field_by_name(first) else { return false };
    rest.is_none_or(|rest| message_of(&field).is_some_and(|message| has_path(&message, rest)))
}

fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    field.kind().as_message().cloned()
}

/// `DeletionReason` as `DELETION_REASON`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}
