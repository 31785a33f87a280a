//! Two services that want one data directory.

use crate::embedded::process::{Service, assert_says, room, settings, sql, start, start_error};
use deskledger::embedded_postgres::{EmbeddedPostgres, Error};
use std::fs;

#[test]
fn a_second_service_is_told_who_holds_the_data_directory() {
    let room = room();
    let data = room.path().join("data");
    let service = Service::serve(&data);
    let error = start_error(&data);
    assert!(matches!(&error, Error::InUse { pid: Some(pid), .. } if *pid == service.pid()), "{error}");
    assert_says(&error.to_string(), &[&format!("process {}", service.pid()), data.to_str().expect("UTF-8"), "DATABASE_URL"]);
    assert_eq!(sql(&service.socket_dir(), "select 1"), "1", "the first is unharmed");
    assert!(service.end().success());
    start(&data).stop().expect("it stops");
}

#[test]
fn a_lock_whose_holder_is_not_to_be_seen_is_respected_all_the_same() {
    let room = room();
    let data = room.path().join("data");
    start(&data).stop().expect("it stops");
    for pid in ["", "2147483647\n"] {
        let lock = fs::OpenOptions::new().write(true).open(data.join("postgres.lock")).expect("it opens");
        lock.lock().expect("it locks");
        fs::write(data.join("postgres.lock"), pid).expect("it is written");
        let error = start_error(&data);
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        lock.unlock().expect("it unlocks");
    }
    start(&data).stop().expect("it stops");
}

#[test]
fn of_many_that_start_at_once_exactly_one_gets_the_data_directory() {
    let room = room();
    let data = room.path().join("data");
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| EmbeddedPostgres::start(&settings(&data)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(error, Error::InUse { .. }), "{error}");
    }
}
