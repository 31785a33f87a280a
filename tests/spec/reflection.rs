//! What the service says of itself without a token: its services and files by reflection, and whether it serves.

use std::collections::BTreeSet;
use std::time::Duration;

use deskledger::background::readiness;
use deskledger::grpc::{DESCRIPTOR_SET, SERVICE_NAMES};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use crate::support::World;
use crate::support::database::TestDatabase;
use crate::support::world::default_settings;

/// The two versions have the same messages, each its own types.
macro_rules! reflection {
    ($version:ident, $services:ident, $file:ident) => {
        /// The services that reflection lists.
        pub async fn $services(channel: Channel) -> Vec<String> {
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            match $version::ask(channel, $version::Question::ListServices(String::new())).await {
                MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|service| service.name).collect(),
                other => panic!("no list of services: {other:?}"),
            }
        }

        /// The bytes of the file that declares a symbol.
        async fn $file(channel: Channel, symbol: &str) -> Vec<u8> {
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            match $version::ask(channel, $version::Question::FileContainingSymbol(symbol.to_owned())).await {
                MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto[0].clone(),
                other => panic!("no file: {other:?}"),
            }
        }

        mod $version {
            use tonic::transport::Channel;
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            pub(super) use tonic_reflection::pb::$version::server_reflection_request::MessageRequest as Question;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            pub(super) async fn ask(channel: Channel, question: Question) -> MessageResponse {
                let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
                let answers = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(request)).await;
                let answer = answers.expect("reflection answers").into_inner().message().await.expect("an answer");
                answer.expect("one answer for the one question").message_response.expect("it says something")
            }
        }
    };
}

reflection!(v1, services_v1, file_v1);
reflection!(v1alpha, services_v1alpha, file_v1alpha);

#[tokio::test]
async fn both_versions_list_our_services_and_give_their_files_with_options_and_comments() {
    let world = World::new().await;
    let channel = world.channel().await;
    for services in [services_v1(channel.clone()).await, services_v1alpha(channel.clone()).await] {
        let services: BTreeSet<&str> = services.iter().map(String::as_str).collect();
        assert!(SERVICE_NAMES.iter().all(|ours| services.contains(ours)), "{services:?}");
        assert!(services.contains("grpc.health.v1.Health"), "{services:?}");
    }
    // `google.rpc.ErrorInfo` is in no answer's type: a client that reads details asks for it by name.
    for symbol in SERVICE_NAMES.into_iter().chain(["google.rpc.ErrorInfo"]) {
        let (v1, v1alpha) = (file_v1(channel.clone(), symbol).await, file_v1alpha(channel.clone(), symbol).await);
        assert_eq!(v1, v1alpha, "{symbol}");
        if symbol.starts_with("deskledger.") {
            // The bytes of the build, and so every option and comment that `spec::coverage` finds in them.
            assert!(DESCRIPTOR_SET.windows(v1.len()).any(|part| part == v1), "{symbol}");
        }
    }
}

#[tokio::test]
async fn health_says_serving_of_the_whole_and_of_each_service_when_the_database_is_current() {
    let world = World::new().await;
    for service in ["", SERVICE_NAMES[0], SERVICE_NAMES[1], SERVICE_NAMES[2]] {
        let mut watch = watch(&world, service).await;
        until_serving(&mut watch).await;
        assert_eq!(check(&world, service).await, ServingStatus::Serving, "{service}");
    }
}

#[tokio::test]
async fn health_says_not_serving_on_a_database_without_migrations_and_serving_once_it_has_them() {
    let world = World::on(TestDatabase::create_empty().await, default_settings()).await;
    let services = ["", SERVICE_NAMES[0], SERVICE_NAMES[1], SERVICE_NAMES[2]];
    let mut watches = Vec::new();
    for service in services {
        assert_eq!(check(&world, service).await, ServingStatus::NotServing, "{service}");
        let mut watch = watch(&world, service).await;
        assert_eq!(next(&mut watch).await, ServingStatus::NotServing, "{service}");
        watches.push(watch);
    }
    assert!(!world.app.is_ready().await.expect("the database"));

    world.database.migrate().await;

    for mut watch in watches {
        until_serving(&mut watch).await;
    }
}

#[tokio::test]
async fn health_says_not_serving_before_the_service_stops() {
    let world = World::new().await;
    let mut watch = watch(&world, "").await;
    until_serving(&mut watch).await;

    let stopped = tokio::spawn(world.stop());

    assert_eq!(next(&mut watch).await, ServingStatus::NotServing);
    drop(watch);
    stopped.await.expect("the service stops");
}

#[tokio::test]
async fn health_never_says_serving_before_the_database_was_looked_at() {
    let world = World::new().await;
    let health = HealthReporter::new();
    // The test's runtime has one thread: the loop has not run when this line is done.
    let watch = readiness::start(world.app.clone(), health.clone(), CancellationToken::new()).await;

    let request = tonic::Request::new(HealthCheckRequest { service: String::new() });
    let answer = HealthService::from_health_reporter(health).check(request).await.expect("health answers");

    assert_eq!(answer.into_inner().status(), ServingStatus::NotServing);
    watch.abort();
}

#[tokio::test]
async fn health_knows_no_service_that_is_not_here() {
    let world = World::new().await;
    let request = HealthCheckRequest { service: "deskledger.v1.CoffeeService".to_owned() };
    let refused = HealthClient::new(world.channel().await).check(request).await.expect_err("there is no such service");
    assert_eq!(refused.code(), Code::NotFound);
}

async fn check(world: &World, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(world.channel().await).check(request).await.expect("health answers").into_inner().status()
}

async fn watch(world: &World, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(world.channel().await).watch(request).await.expect("health answers").into_inner()
}

/// Waits until the watched service serves; what it says before may be said twice.
async fn until_serving(watch: &mut Streaming<HealthCheckResponse>) {
    let serving = async { while next(watch).await != ServingStatus::Serving {} };
    tokio::time::timeout(Duration::from_secs(30), serving).await.expect("the service serves in time");
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    watch.message().await.expect("the stream goes on").expect("a status").status()
}
