//! The codecs: what Terraform writes is read, what is written is read again, and hostile bytes are refused.
#![allow(clippy::unwrap_used)]

mod strategies;

use multizone_schema::{DecodeReason, EncodeReason, Type, Value};
use proptest::prelude::*;

use crate::strategies::{type_, typed};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn types_survive_json(type_ in type_()) {
        prop_assert_eq!(Type::from_json(&type_.to_json_bytes()), Ok(type_));
    }

    #[test]
    fn values_survive_msgpack((type_, value) in typed(true)) {
        let bytes = value.to_msgpack(&type_).unwrap();
        prop_assert_eq!(Value::from_msgpack(&bytes, &type_), Ok(value));
    }

    #[test]
    fn known_values_survive_json((type_, value) in typed(false)) {
        let bytes = value.to_json(&type_).unwrap();
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok_and(|json| json.is_null() == value.is_null() || type_ == Type::Dynamic));
        prop_assert_eq!(Value::from_json(&bytes, &type_), Ok(value));
    }

    #[test]
    fn states_are_wholly_known((type_, value) in typed(true)) {
        prop_assert_eq!(value.to_state(&type_).is_ok(), value.is_wholly_known());
        prop_assert_eq!(value.to_json(&type_).is_ok(), value.is_wholly_known());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(type_ in type_(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Value::from_msgpack(&bytes, &type_);
        let _ = Value::from_json(&bytes, &type_);
        let _ = Type::from_json(&bytes);
    }

    #[test]
    fn cut_off_bytes_are_refused((type_, value) in typed(true), cut in any::<prop::sample::Index>()) {
        let bytes = value.to_msgpack(&type_).unwrap();
        let cut = cut.index(bytes.len());
        prop_assert!(Value::from_msgpack(&bytes[..cut], &type_).is_err());
    }
}

#[test]
fn any_extension_is_unknown() {
    for bytes in [
        &[0xd4, 0, 0][..],             // what Terraform writes without refinements
        &[0xc7, 3, 12, 0x81, 1, 0xc2], // refinements: not null
        &[0xd5, 12, 1, 2],             // fixed, two bytes
        &[0xc8, 0, 1, 99, 0],          // any other code
        &[0xc9, 0, 0, 0, 1, 0, 0],     // 32-bit length
    ] {
        assert_eq!(
            Value::from_msgpack(bytes, &Type::map(Type::Bool)),
            Ok(Value::Unknown),
            "{bytes:?}"
        );
    }
    assert_eq!(Value::Unknown.to_msgpack(&Type::String).unwrap(), [0xd4, 0, 0]);
}

#[test]
fn numbers_take_the_forms_terraform_takes() {
    let encode = |text: &str| Value::Number(text.parse().unwrap()).to_msgpack(&Type::Number).unwrap();
    assert_eq!(encode("5"), [5]);
    assert_eq!(encode("-1"), [0xff]);
    assert_eq!(encode("0.5"), [0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encode("0.1"), [0xa3, b'0', b'.', b'1']);
    let decode = |bytes: &[u8]| Value::from_msgpack(bytes, &Type::Number).unwrap();
    assert_eq!(
        decode(&[0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]),
        Value::Number("0.5".parse().unwrap())
    );
    assert_eq!(decode(&[0xca, 0x3f, 0, 0, 0]), Value::Number("0.5".parse().unwrap()));
    assert_eq!(decode(&[0xd9, 4, b'1', b'2', b'.', b'0']), Value::from(12));
    assert_eq!(
        decode(&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
        Value::Number(u64::MAX.into())
    );
    let nan = [&[0xcb][..], &f64::NAN.to_be_bytes()].concat();
    assert!(Value::from_msgpack(&nan, &Type::Number).is_err());
}

#[test]
fn a_dynamic_value_carries_its_type() {
    let value = Value::Dynamic(Type::String, Box::new(Value::from("x")));
    let bytes = value.to_msgpack(&Type::Dynamic).unwrap();
    assert_eq!(bytes, [&[0x92, 0xc4, 8][..], br#""string""#, &[0xa1, b'x']].concat());
    assert_eq!(
        value.to_json(&Type::Dynamic).unwrap(),
        br#"{"value":"x","type":"string"}"#
    );
    let json = br#" { "type" : ["list","bool"], "value" : [true , null] } "#;
    let list = Value::Dynamic(
        Type::list(Type::Bool),
        Box::new(Value::list([Value::from(true), Value::Null])),
    );
    assert_eq!(Value::from_json(json, &Type::Dynamic), Ok(list));
}

#[test]
fn errors_name_the_path() {
    let type_ = Type::object([(
        "replicas",
        Type::map(Type::object([("ports", Type::list(Type::Number))])),
    )]);
    let json = br#"{"replicas":{"a":{"ports":[1,true]}}}"#;
    let error = Value::from_json(json, &type_).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"replicas["a"].ports[1]: number is required, but the value is a bool"#
    );

    let ports = |element| {
        let replica = Value::object([("ports", Value::list([Value::from(1), element]))]);
        Value::object([("replicas", Value::map([("a", replica)]))])
    };
    let error = ports(Value::from("x")).to_msgpack(&type_).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"replicas["a"].ports[1]: number is required, but the value is a string"#
    );
    let error = ports(Value::Unknown).to_state(&type_).unwrap_err();
    assert_eq!(
        (error.path.to_string().as_str(), error.reason),
        (r#"replicas["a"].ports[1]"#, EncodeReason::Unknown)
    );
}

#[test]
fn objects_are_exact_in_msgpack_and_state_json_may_lag_behind() {
    let type_ = Type::object([("a", Type::String), ("b", Type::String)]);
    let one = Value::object([("a", Value::from("x"))]);
    assert!(matches!(one.to_msgpack(&type_).unwrap_err().reason, EncodeReason::MissingAttribute(name) if name == "b"));
    let bytes = one.to_msgpack(&Type::object([("a", Type::String)])).unwrap();
    assert!(matches!(
        Value::from_msgpack(&bytes, &type_).unwrap_err().reason,
        DecodeReason::MissingAttribute(name) if name == "b"
    ));
    let json = br#"{"a":"x","gone":[{"deep":1.5}]}"#;
    assert!(matches!(
        Value::from_json(json, &type_).unwrap_err().reason,
        DecodeReason::UnknownAttribute(name) if name == "gone"
    ));
    let lenient = Value::from_state_json(json, &type_).unwrap();
    assert_eq!(lenient, Value::object([("a", Value::from("x")), ("b", Value::Null)]));
}

#[test]
fn hostile_lengths_and_depths_are_refused() {
    let list = Type::list(Type::Bool);
    let huge = [0xdd, 0xff, 0xff, 0xff, 0xff, 0xc2];
    assert_eq!(
        Value::from_msgpack(&huge, &list).unwrap_err().reason,
        DecodeReason::CutOff
    );
    let text = [0xdb, 0xff, 0xff, 0xff, 0xff, b'x'];
    assert_eq!(
        Value::from_msgpack(&text, &Type::String).unwrap_err().reason,
        DecodeReason::CutOff
    );
    assert_eq!(
        Value::from_msgpack(&[0xc2, 0xc2], &Type::Bool).unwrap_err().reason,
        DecodeReason::Trailing(1)
    );
    assert!(Value::from_json("[".repeat(100_000).as_bytes(), &Type::list(Type::list(Type::Bool))).is_err());

    // A dynamic value in a dynamic value in a dynamic value …
    let mut deep = Vec::new();
    for _ in 0..100_000 {
        deep.extend([0x92, 0xc4, 9]);
        deep.extend(br#""dynamic""#);
    }
    assert_eq!(
        Value::from_msgpack(&deep, &Type::Dynamic).unwrap_err().reason,
        DecodeReason::TooDeep
    );
    let skipped = format!(r#"{{"gone":{}}}"#, "[".repeat(100_000));
    let empty = Type::object::<&str>([]);
    assert_eq!(
        Value::from_state_json(skipped.as_bytes(), &empty).unwrap_err().reason,
        DecodeReason::TooDeep
    );
}

#[test]
fn numbers_in_json_keep_their_digits() {
    let digits = "0.1234567890123456789012345678901234567890";
    let value = Value::from_json(digits.as_bytes(), &Type::Number).unwrap();
    assert_eq!(
        value.to_json(&Type::Number).unwrap(),
        &digits.as_bytes()[..digits.len() - 1]
    );
}
