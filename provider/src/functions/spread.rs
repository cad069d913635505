//! `spread`: which zone each of some replicas goes to.

use multizone_planner::round;
use multizone_schema::{Type, Value};

use super::{Function, FunctionDefinition, FunctionError, Parameter};

/// More than any control plane or node group has.
const MOST: i64 = 10_000;

/// `provider::multizone::spread(count, zones)`.
#[derive(Debug)]
pub struct Spread;

impl Function for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn definition(&self) -> FunctionDefinition {
        let parameter = |name: &str, r#type: Type, description: &str| Parameter {
            name: name.to_owned(),
            r#type,
            description: description.to_owned(),
            allow_null: false,
            allow_unknown: false,
        };
        FunctionDefinition {
            summary: "Spreads replicas over zones".to_owned(),
            description:
                "The zone of each of `count` replicas, going round the zones in the order given: no zone gets two \
                          more than another. Growing keeps every replica where it is."
                    .to_owned(),
            parameters: vec![
                parameter("count", Type::Number, "Number of replicas, 0 or more."),
                parameter(
                    "zones",
                    Type::list(Type::String),
                    "Names of zones, at least one, each once.",
                ),
            ],
            variadic: None,
            returns: Type::list(Type::String),
        }
    }

    fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError> {
        let count = arguments
            .first()
            .and_then(Value::as_i64)
            .filter(|count| (0..=MOST).contains(count));
        let count = count
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| FunctionError::at(0, format!("count must be a whole number from 0 to {MOST}")))?;
        let zones = arguments.get(1).and_then(Value::as_elements).unwrap_or_default();
        if zones.is_empty() {
            return Err(FunctionError::at(1, "zones must name at least one zone"));
        }
        if let Some(twice) = zones
            .iter()
            .enumerate()
            .find(|(index, zone)| zones[..*index].contains(zone))
        {
            return Err(FunctionError::at(
                1,
                format!("zones names {} twice", twice.1.as_str().unwrap_or_default()),
            ));
        }
        Ok(Value::list(round(count, zones)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(count: i64, zones: &[&str]) -> Result<Value, FunctionError> {
        Spread.call(vec![
            Value::from(count),
            Value::list(zones.iter().map(|zone| Value::from(*zone))),
        ])
    }

    #[test]
    fn no_zone_gets_two_more_than_another() {
        let expected = Value::list(["a", "b", "c", "a", "b"].map(Value::from));
        assert_eq!(spread(5, &["a", "b", "c"]), Ok(expected));
        assert_eq!(spread(0, &["a"]), Ok(Value::list([])));
    }

    #[test]
    fn zones_are_needed_and_named_once() {
        assert!(spread(1, &[]).is_err());
        assert_eq!(spread(1, &["a", "a"]).unwrap_err().argument, Some(1));
        assert_eq!(spread(-1, &["a"]).unwrap_err().argument, Some(0));
    }
}
