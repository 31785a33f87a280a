//! Input for fuzzing: good seeds, damaged in every way that bytes can be, most of them only a little.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

/// For how many seconds each target is run instead of a fixed number of inputs.
const SECONDS: &str = "DESKLEDGER_FUZZ_SECONDS";
/// How many inputs are tried between two looks at the clock.
const ROUND: u32 = 256;

/// What readers are known to stumble over.
const TOKENS: [&[u8]; 28] = [
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[[[[[",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"9223372036854775807",
    b"9223372036854775808",
    b"1e400",
    b"-0",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"%00",
    b"%",
    b"&",
    b"=",
    b"\n",
    b"\xe2\x80\x94",
];

/// One damage, wherever it falls in an input of any length.
#[derive(Debug, Clone)]
enum Damage {
    Flip {
        at: u16,
        bit: u8,
    },
    Set {
        at: u16,
        byte: u8,
    },
    Cut {
        at: u16,
        length: u16,
    },
    Repeat {
        at: u16,
        length: u16,
        times: u8,
    },
    Insert {
        at: u16,
        token: usize,
    },
    Write {
        at: u16,
        bytes: Vec<u8>,
    },
    /// Goes on with another seed.
    Splice {
        at: u16,
        seed: usize,
        from: u16,
    },
    End {
        at: u16,
    },
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<u16>(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set { at, byte }),
        (any::<u16>(), 1_u16..64).prop_map(|(at, length)| Damage::Cut { at, length }),
        (any::<u16>(), 1_u16..64, 1_u8..50).prop_map(|(at, length, times)| Damage::Repeat { at, length, times }),
        (any::<u16>(), 0..TOKENS.len()).prop_map(|(at, token)| Damage::Insert { at, token }),
        (any::<u16>(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Damage::Write { at, bytes }),
        (any::<u16>(), any::<usize>(), any::<u16>()).prop_map(|(at, seed, from)| Damage::Splice { at, seed, from }),
        any::<u16>().prop_map(|at| Damage::End { at }),
    ]
}

fn apply(input: &mut Vec<u8>, damage: &Damage, seeds: &[Vec<u8>]) {
    let place = |at: u16, length: usize| usize::from(at) % (length + 1);
    match damage {
        Damage::Flip { at, bit } => {
            let at = place(*at, input.len().saturating_sub(1));
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Damage::Set { at, byte } => {
            let at = place(*at, input.len().saturating_sub(1));
            if let Some(old) = input.get_mut(at) {
                *old = *byte;
            }
        }
        Damage::Cut { at, length } => {
            let at = place(*at, input.len());
            let end = (at + usize::from(*length)).min(input.len());
            input.drain(at..end);
        }
        Damage::Repeat { at, length, times } => {
            let at = place(*at, input.len());
            let end = (at + usize::from(*length)).min(input.len());
            let part = input[at..end].repeat(usize::from(*times));
            input.splice(at..at, part);
        }
        Damage::Insert { at, token } => {
            let at = place(*at, input.len());
            input.splice(at..at, TOKENS[*token].iter().copied());
        }
        Damage::Write { at, bytes } => {
            let at = place(*at, input.len());
            input.splice(at..at, bytes.iter().copied());
        }
        Damage::Splice { at, seed, from } => {
            let seed = &seeds[seed % seeds.len()];
            input.truncate(place(*at, input.len()));
            input.extend_from_slice(&seed[place(*from, seed.len())..]);
        }
        Damage::End { at } => input.truncate(place(*at, input.len())),
    }
}

/// Damaged seeds, and some that are no seed at all.
fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let noise = vec(any::<u8>(), 0..200);
    let damaged = (any::<usize>(), vec(damage(), 0..6)).prop_map(move |(seed, damages)| {
        let mut input = seeds[seed % seeds.len()].clone();
        for damage in &damages {
            apply(&mut input, damage, &seeds);
        }
        input
    });
    prop_oneof![9 => damaged, 1 => noise]
}

/// Tries inputs made of the seeds: `count` of them, or as many as the long form's time allows. `check` says what is wrong with the answer
/// to one, or panics; the smallest input that does it is shown.
#[expect(clippy::disallowed_methods, reason = "a variable of tests is no setting of the service")]
pub fn fuzz(target: &str, count: u32, seeds: Vec<Vec<u8>>, check: impl Fn(&[u8]) -> Result<(), String>) {
    let seconds = std::env::var(SECONDS).ok().map(|seconds| seconds.parse().expect("a number of seconds"));
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let strategy = inputs(seeds);
    let mut tried: u64 = 0;
    loop {
        let cases = if end.is_some() { ROUND } else { count };
        let persistence = Some(Box::new(FileFailurePersistence::Off) as Box<_>);
        let mut runner = TestRunner::new(Config { cases, failure_persistence: persistence, ..Config::default() });
        let outcome = runner.run(&strategy, |input| check(&input).map_err(TestCaseError::fail));
        if let Err(TestError::Fail(reason, input)) = outcome {
            panic!("{target}: {reason}\nby {:?}\nas text {:?}", input, String::from_utf8_lossy(&input));
        }
        tried += u64::from(cases);
        if end.is_none_or(|end| Instant::now() >= end) {
            break;
        }
    }
    // Shown by --nocapture.
    println!("{target}: {tried} inputs");
}
