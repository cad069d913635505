//! `quorum_size`: how many members must agree.

use multizone_schema::{Type, Value};

use super::{Function, FunctionDefinition, FunctionError, Parameter};

/// `provider::multizone::quorum_size(members)`.
#[derive(Debug)]
pub struct QuorumSize;

impl Function for QuorumSize {
    fn name(&self) -> &'static str {
        "quorum_size"
    }

    fn definition(&self) -> FunctionDefinition {
        FunctionDefinition {
            summary: "How many members of an etcd cluster must agree".to_owned(),
            description:
                "The quorum of an etcd cluster of this many voting members: more than half of them. Three members \
                          have a quorum of two and survive the loss of one; four have a quorum of three and survive no \
                          more than three do."
                    .to_owned(),
            parameters: vec![Parameter {
                name: "members".to_owned(),
                r#type: Type::Number,
                description: "Number of voting members, 1 or more.".to_owned(),
                allow_null: false,
                allow_unknown: false,
            }],
            variadic: None,
            returns: Type::Number,
        }
    }

    fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError> {
        let members = arguments.first().and_then(Value::as_i64);
        match members {
            Some(members) if members >= 1 => Ok(Value::from(members / 2 + 1)),
            _ => Err(FunctionError::at(
                0,
                "members must be a whole number of 1 or more, for example 3",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_must_agree() {
        for (members, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)] {
            assert_eq!(QuorumSize.call(vec![Value::from(members)]), Ok(Value::from(quorum)));
        }
        assert!(QuorumSize.call(vec![Value::from(0)]).is_err());
    }
}
