//! Bytes from somebody who means harm: every decoder answers with an error that says what is wrong, without a panic and
//! without more memory than the input justifies.
#![allow(clippy::unwrap_used)]

mod allocation;
#[path = "../strategies/mod.rs"]
mod strategies;

use multizone_schema::upgrade::{Upgrade, UpgradeError, upgrade};
use multizone_schema::{Attribute, AttributeKind, Mode, Schema, Type, Value};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::allocation::{Counting, peak};
use crate::strategies::{type_, typed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of memory that a byte of input may take while it is read. The most take numbers like `1e4000`, which are kept
/// with all their digits.
const PER_BYTE: usize = 1024;
/// Bytes of memory that any input may take.
const AT_ALL: usize = 64 << 10;
/// Letters that an error may take, whatever the input is.
const ERROR: usize = 4096;

/// Inputs that once did harm elsewhere, or would here if a bound were missing; mutated further by the tests.
const SEEDS: &[&[u8]] = &[
    b"",
    // Lengths of 2^32 - 1: an array, a map, a text, binary data, an extension.
    b"\xdd\xff\xff\xff\xff\xc0",
    b"\xdf\xff\xff\xff\xff\xa1a\xc0",
    b"\xdb\xff\xff\xff\xffx",
    b"\xc6\xff\xff\xff\xffx",
    b"\xc9\xff\xff\xff\xff\x0cx",
    // The byte that msgpack never uses.
    b"\xc1",
    // Not a number, infinities.
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xca\x7f\x80\x00\x00",
    // Numbers as text: huge, tiny, none.
    b"\xa7" as &[u8],
    b"\xa71e99999",
    b"\xaf1e9999999999999",
    b"\xa81e-99999",
    b"\xa2-.",
    // An unknown value with a refinement, cut off; a dynamic one with a type of types.
    b"\xc7\x05\x0c\x81\x01",
    b"\x92\xc4\x09\"dynamic\"\xc0",
    b"\x92\xc4\x12[\"list\",\"dynamic\"]\x91\xc0",
    b"\x92\xc4\x0a[\"object\"]\xc0",
    // The same key twice, and one that is not text.
    b"\x82\xa1a\xc0\xa1a\xc0",
    b"\x81\x01\xc0",
    // Text that is not UTF-8.
    b"\xa2\xff\xfe",
    // JSON.
    b"{\"a\":1,\"a\":2}",
    b"{\"a\":\"\\ud800\"}",
    b"\"\\",
    b"[1,",
    b"[[[[[[[[[[",
    b"{\"type\":\"dynamic\",\"value\":{\"type\":\"dynamic\",\"value\":null}}",
    b"1e999999999",
    b"-",
    b"\xef\xbb\xbfnull",
];

/// One change to some bytes.
#[derive(Clone, Debug)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let place = any::<prop::sample::Index>;
    let seed = prop::sample::select(SEEDS).prop_map(<[u8]>::to_vec);
    let edit = prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (place(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (place(), seed).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (place(), 1..20_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (place(), 2..200_usize).prop_map(|(at, times)| Edit::Repeat(at, times)),
    ];
    prop::collection::vec(edit, 1..4)
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        match edit {
            Edit::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Edit::Insert(at, more) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Edit::Remove(at, length) => {
                let at = at.index(bytes.len() + 1);
                bytes.drain(at..bytes.len().min(at + length));
            }
            Edit::Repeat(at, times) => {
                let tail = bytes.split_off(at.index(bytes.len() + 1));
                let tail = tail.repeat(if tail.len() < 200 { *times } else { 2 });
                bytes.extend(tail);
            }
            Edit::Set(..) => {}
        }
    }
    bytes
}

/// Random bytes, seeds and mutated seeds.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let seed = || prop::sample::select(SEEDS).prop_map(<[u8]>::to_vec);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        seed(),
        (seed(), edits()).prop_map(|(seed, edits)| edited(seed, &edits)),
    ]
}

/// Reads within the bounds, and gives the value or the error's text.
fn bounded<T, E: ToString>(input: usize, read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    let (result, memory) = peak(read);
    assert!(
        memory <= AT_ALL + PER_BYTE * input,
        "{memory} bytes of memory for {input} bytes of input"
    );
    result.map_err(|error| {
        let text = error.to_string();
        assert!(
            !text.is_empty() && text.len() <= ERROR,
            "{} letters: {text:.300}",
            text.len()
        );
        text
    })
}

/// What every decoder is put through.
fn decode_everything(bytes: &[u8], type_: &Type) {
    if let Ok(value) = bounded(bytes.len(), || Value::from_msgpack(bytes, type_)) {
        // What was accepted can be written, and means the same.
        let again = value.to_msgpack(type_).unwrap();
        assert_eq!(Value::from_msgpack(&again, type_).unwrap(), value);
    }
    for read in [Value::from_json, Value::from_state_json] {
        if let Ok(value) = bounded(bytes.len(), || read(bytes, type_)) {
            let again = value.to_json(type_).unwrap();
            assert_eq!(Value::from_json(&again, type_).unwrap(), value);
        }
    }
    let _ = bounded(bytes.len(), || Type::from_json(bytes));
}

fn renamed(mut state: serde_json::Value) -> Result<serde_json::Value, UpgradeError> {
    let object = state
        .as_object_mut()
        .ok_or_else(|| UpgradeError("it is no object".into()))?;
    let old = object
        .remove("title")
        .ok_or_else(|| UpgradeError("it has no title".into()))?;
    object.insert("name".into(), old);
    Ok(state)
}

/// A schema of version 2, with everything in it.
fn schema() -> Schema {
    let plain = |name: &str, type_, mode| Attribute::plain(name, type_, mode, "What it is.");
    let mut port = plain("port", Type::Number, Mode::OptionalComputed);
    port.default = Some(Value::from(80));
    let inner = vec![port, plain("tags", Type::set(Type::String), Mode::Optional)];
    Schema {
        version: 2,
        description: "A thing.".into(),
        attributes: vec![
            plain("name", Type::String, Mode::Required),
            plain("any", Type::Dynamic, Mode::Optional),
            Attribute::new("single", AttributeKind::Single(inner.clone()), Mode::Optional, "One."),
            Attribute::new("list", AttributeKind::List(inner.clone()), Mode::Optional, "Many."),
            Attribute::new("set", AttributeKind::Set(inner.clone()), Mode::Optional, "Many."),
            Attribute::new("map", AttributeKind::Map(inner), Mode::Optional, "Many."),
        ],
    }
}

const UPGRADES: &[Upgrade] = &[renamed, Ok];

const STATE: &str = r#"{"title":"x","name":"x","any":{"type":"string","value":"y"},"single":{"port":1,"tags":["a"]},
    "list":[{"port":null,"tags":null}],"set":[{"port":3}],"map":{"k":{"port":1e2,"gone":[{"deep":true}]}},"old":1.5}"#;

fn upgrade_everything(state: &[u8], version: i64) {
    let schema = schema();
    if let Ok(value) = bounded(state.len(), || upgrade(&schema, version, state, UPGRADES)) {
        value.to_state(&schema.type_()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        // Whatever is found is added there, and tried first from then on.
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/hostile/regressions.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes(type_ in type_(), bytes in bytes()) {
        decode_everything(&bytes, &type_);
    }

    #[test]
    fn mutated_values((type_, value) in typed(true), edits in edits()) {
        decode_everything(&edited(value.to_msgpack(&type_).unwrap(), &edits), &type_);
        if let Ok(json) = value.to_json(&type_) {
            decode_everything(&edited(json, &edits), &type_);
        }
    }

    #[test]
    fn values_of_another_type((type_, value) in typed(true), other in strategies::type_()) {
        decode_everything(&value.to_msgpack(&type_).unwrap(), &other);
        if let Ok(json) = value.to_json(&type_) {
            decode_everything(&json, &other);
        }
    }

    #[test]
    fn mutated_types(type_ in type_(), edits in edits()) {
        let bytes = edited(type_.to_json_bytes(), &edits);
        let _ = bounded(bytes.len(), || Type::from_json(&bytes));
    }

    #[test]
    fn mutated_states(edits in edits(), version in prop_oneof![-1..4_i64, any::<i64>()]) {
        upgrade_everything(&edited(STATE.into(), &edits), version);
    }

    #[test]
    fn any_states(state in bytes(), version in prop_oneof![0..3_i64, any::<i64>()]) {
        upgrade_everything(&state, version);
    }
}

#[test]
fn the_state_that_is_mutated_is_a_good_one() {
    for version in 0..=2 {
        upgrade(&schema(), version, STATE.as_bytes(), UPGRADES).unwrap();
    }
}

#[test]
fn every_seed_with_every_simple_type() {
    for seed in SEEDS {
        for element in [Type::String, Type::Number, Type::Bool, Type::Dynamic] {
            for type_ in [
                element.clone(),
                Type::list(element.clone()),
                Type::set(element.clone()),
                Type::map(element),
            ] {
                decode_everything(seed, &type_);
            }
        }
    }
}

#[test]
fn what_is_long_takes_memory_in_proportion() {
    let long = 1 << 18;
    let list = |element: &[u8], count: u32| {
        let mut bytes = vec![0xdd];
        bytes.extend(count.to_be_bytes());
        bytes.extend(element.repeat(count as usize));
        bytes
    };
    decode_everything(&list(b"\xc0", long), &Type::list(Type::String));
    decode_everything(&list(b"\xc0", long), &Type::set(Type::Dynamic));
    decode_everything(&list(b"\x90", long), &Type::list(Type::list(Type::Bool)));
    decode_everything(&list(b"\xa61e4000", 1000), &Type::list(Type::Number));
    decode_everything(
        format!("[{}null]", "null,".repeat(100_000)).as_bytes(),
        &Type::set(Type::String),
    );
    // A key of a megabyte does not make an error of a megabyte.
    let key = "k".repeat(1 << 20);
    let json = format!(r#"{{"{key}":true}}"#);
    decode_everything(json.as_bytes(), &Type::object([("a", Type::Bool)]));
    decode_everything(json.as_bytes(), &Type::map(Type::String));
    decode_everything(key.as_bytes(), &Type::Number);
    decode_everything(format!(r#"["{key}","string"]"#).as_bytes(), &Type::Bool);
}

#[test]
fn what_is_deep_is_refused() {
    let depth = 200_000;
    let deep_type = (0..100).fold(Type::Bool, |inner, _| Type::list(inner));
    for type_ in [Type::Dynamic, deep_type] {
        decode_everything(&b"\x91".repeat(depth), &type_);
        decode_everything("[".repeat(depth).as_bytes(), &type_);
        decode_everything(br#"{"type":"dynamic","value":"#.repeat(depth / 10).as_slice(), &type_);
        decode_everything(b"\x92\xc4\x09\"dynamic\"".repeat(depth / 10).as_slice(), &type_);
    }
    for version in 0..=2 {
        upgrade_everything("[".repeat(depth).as_bytes(), version);
        upgrade_everything(format!(r#"{{"gone":{}"#, "[".repeat(depth)).as_bytes(), version);
        upgrade_everything(br#"{"any":"#.repeat(depth / 10).as_slice(), version);
    }
}
