//! Resources on values.

use async_trait::async_trait;
use multizone_schema::{Diagnostic, Diagnostics, Model, Path, PlannedModel as _, PlannedOf, Schema, Value};

use super::{check_config, not_configured, write_only};
use crate::configuration::Configured;
use crate::resources::identity::Identity as _;
use crate::resources::{Created, Failed, PlanRequest, Planning, Resource, Updated};
use crate::stop::Stop;

/// A planned or applied change. A null prior value means a create, a null new one a destroy.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The object as last read.
    pub prior: Value,
    /// The proposal when planning, the plan when applying.
    pub new: Value,
    /// The configuration; null for a destroy.
    pub config: Value,
    /// The object's private bytes when planning, the plan's when applying.
    pub private: Vec<u8>,
}

/// The answer to a planned change.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The object as it will be.
    pub planned: Value,
    /// Paths whose change means a new object; sorted, distinct.
    pub requires_replace: Vec<Path>,
    /// Private bytes for apply.
    pub private: Vec<u8>,
    /// Refusals and warnings.
    pub diagnostics: Diagnostics,
}

/// The answer to an applied change: what state is to hold from now on, whatever happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object; null when there is none.
    pub state: Value,
    /// Its private bytes.
    pub private: Vec<u8>,
    /// What went wrong, and warnings.
    pub diagnostics: Diagnostics,
}

/// A resource whose model is out of sight.
#[async_trait]
pub trait AnyResource<P: Send + Sync + 'static = Configured>: Send + Sync {
    /// The type's name.
    fn name(&self) -> &'static str;

    /// The schema of the type.
    fn schema(&self) -> Schema;

    /// Checks a configuration. Tolerates unknown values.
    fn check(&self, schema: &Schema, config: &Value) -> Diagnostics;

    /// Brings stored state, written with the schema of `version`, to the present schema.
    fn upgrade(&self, schema: &Schema, version: i64, state: &[u8]) -> Result<Value, Diagnostics>;

    /// Plans a change. Without a provider (its configuration is unknown) the plan is what the schema alone makes of it.
    async fn plan_change(&self, schema: &Schema, provider: Option<&P>, change: Change) -> Plan;

    /// Looks at the world. The value is null when the object is gone.
    async fn read_object(
        &self,
        schema: &Schema,
        provider: Option<&P>,
        state: Value,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<(Value, Vec<u8>), Diagnostics>;

    /// Carries out a change.
    async fn apply_change(&self, schema: &Schema, provider: Option<&P>, change: Change, stop: &Stop) -> Applied;

    /// The schema of what names an object.
    fn identity_schema(&self) -> Schema;

    /// What names this object, of a state or of a plan. `None` where there is none, or its ID is not known yet.
    fn identity(&self, object: &Value) -> Option<Value>;

    /// The ID of the object with this identity.
    fn identity_to_id(&self, identity: &Value) -> Result<String, Diagnostics>;

    /// Finds the object that `terraform import` names.
    async fn import_object(&self, schema: &Schema, provider: Option<&P>, id: &str) -> Result<Value, Diagnostics>;
}

#[async_trait]
impl<P: Send + Sync + 'static, R: Resource<P>> AnyResource<P> for R {
    fn name(&self) -> &'static str {
        self.type_name()
    }

    fn schema(&self) -> Schema {
        R::Model::schema()
    }

    fn check(&self, schema: &Schema, config: &Value) -> Diagnostics {
        check_config::<R::Model>(schema, config, |config| self.validate(config))
    }

    fn upgrade(&self, schema: &Schema, version: i64, state: &[u8]) -> Result<Value, Diagnostics> {
        let value = multizone_schema::upgrade::upgrade(schema, version, state, self.upgraders())?;
        Ok(write_only::removed(&schema.attributes, value))
    }

    async fn plan_change(&self, schema: &Schema, provider: Option<&P>, change: Change) -> Plan {
        let refusal = (change.prior.clone(), change.private.clone());
        let planned = if change.new.is_null() {
            plan_destroy(self, provider, change).await
        } else {
            plan_existence(self, schema, provider, change).await
        };
        planned.unwrap_or_else(|diagnostics| {
            let (planned, private) = refusal;
            Plan {
                planned,
                requires_replace: Vec::new(),
                private,
                diagnostics,
            }
        })
    }

    async fn read_object(
        &self,
        schema: &Schema,
        provider: Option<&P>,
        state: Value,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<(Value, Vec<u8>), Diagnostics> {
        // What was last seen is the best there is while nobody can look.
        let Some(provider) = provider.filter(|_| !state.is_null()) else {
            return Ok((state, private));
        };
        let model = R::Model::from_value(&state)?;
        Ok(match self.read(provider, model, private, stop).await? {
            Some((model, private)) => (state_of(schema, &model), private),
            None => (Value::Null, Vec::new()),
        })
    }

    async fn apply_change(&self, schema: &Schema, provider: Option<&P>, change: Change, stop: &Stop) -> Applied {
        // Until something has happened, state stays as it was; for a create that is: nothing.
        let (prior, private) = (change.prior.clone(), change.private.clone());
        let applied = match (change.prior.is_null(), change.new.is_null(), provider) {
            (_, _, None) => Err(not_configured("apply the change")),
            (true, true, _) => Ok(Applied {
                state: Value::Null,
                private: Vec::new(),
                diagnostics: Diagnostics::new(),
            }),
            (true, false, Some(provider)) => create(self, schema, provider, change, stop).await,
            (false, true, Some(provider)) => delete(self, provider, change, stop).await,
            (false, false, Some(provider)) => update(self, schema, provider, change, stop).await,
        };
        applied.unwrap_or_else(|diagnostics| Applied {
            state: prior,
            private,
            diagnostics,
        })
    }

    fn identity_schema(&self) -> Schema {
        R::Identity::schema()
    }

    fn identity(&self, object: &Value) -> Option<Value> {
        let id = object.attribute("id")?.as_str()?;
        R::Identity::from_id(id).ok().map(|identity| identity.to_value())
    }

    fn identity_to_id(&self, identity: &Value) -> Result<String, Diagnostics> {
        let given = R::Identity::from_value(identity)?;
        let id = given.id();
        if R::Identity::from_id(&id).is_ok_and(|understood| understood.to_value() == *identity) {
            return Ok(id);
        }
        Err(Diagnostic::error(
            "No object can have this identity",
            format!(
                "As an ID it would be {id:?}. Each of its attributes is a name, neither empty nor with a slash in it. \
                 Nothing was changed."
            ),
        )
        .into())
    }

    async fn import_object(&self, schema: &Schema, provider: Option<&P>, id: &str) -> Result<Value, Diagnostics> {
        let provider = provider.ok_or_else(|| not_configured("import the object"))?;
        let model = self.import(provider, id).await?;
        Ok(state_of(schema, &model))
    }
}

/// What state may hold of an object.
fn state_of<M: Model>(schema: &Schema, model: &M) -> Value {
    write_only::removed(&schema.attributes, model.to_value())
}

/// The plan of a create, an update or a replacement.
async fn plan_existence<P: Send + Sync + 'static, R: Resource<P>>(
    resource: &R,
    schema: &Schema,
    provider: Option<&P>,
    change: Change,
) -> Result<Plan, Diagnostics> {
    let Change {
        prior,
        new,
        config,
        private,
    } = change;
    let proposal = multizone_schema::plan::propose(schema, &config, &prior, &new);
    let planning = match provider {
        None => Planning {
            planned: PlannedOf::<R::Model>::from_value(&proposal)?,
            requires_replace: Vec::new(),
            private,
            diagnostics: Diagnostics::new(),
        },
        Some(provider) => {
            let config = PlannedOf::<R::Model>::from_value(&config)?;
            let prior = if prior.is_null() {
                None
            } else {
                Some(R::Model::from_value(&prior)?)
            };
            let request = PlanRequest {
                config: &config,
                prior: prior.as_ref(),
                planned: PlannedOf::<R::Model>::from_value(&proposal)?,
                prior_private: &private,
            };
            resource.plan(provider, request).await
        }
    };
    let planned = write_only::removed(&schema.attributes, planning.planned.to_value());
    let mut requires_replace = Vec::new();
    if !prior.is_null() {
        requires_replace = multizone_schema::plan::requires_replace(schema, &prior, &planned);
        requires_replace.extend(planning.requires_replace);
        requires_replace.sort();
        requires_replace.dedup();
    }
    Ok(Plan {
        planned,
        requires_replace,
        private: planning.private,
        diagnostics: planning.diagnostics,
    })
}

/// The plan of a destroy is always null; what there is to say are warnings and refusals.
async fn plan_destroy<P: Send + Sync + 'static, R: Resource<P>>(
    resource: &R,
    provider: Option<&P>,
    change: Change,
) -> Result<Plan, Diagnostics> {
    let diagnostics = match provider {
        Some(provider) if !change.prior.is_null() => {
            let prior = R::Model::from_value(&change.prior)?;
            resource.plan_destroy(provider, &prior, &change.private).await
        }
        _ => Diagnostics::new(),
    };
    Ok(Plan {
        planned: Value::Null,
        requires_replace: Vec::new(),
        private: change.private,
        diagnostics,
    })
}

async fn create<P: Send + Sync + 'static, R: Resource<P>>(
    resource: &R,
    schema: &Schema,
    provider: &P,
    change: Change,
    stop: &Stop,
) -> Result<Applied, Diagnostics> {
    let planned = write_only::filled_in(&schema.attributes, change.new.clone(), &change.config);
    let planned = PlannedOf::<R::Model>::from_value(&planned)?;
    let Created {
        state,
        private,
        warnings,
    } = resource.create(provider, planned, stop).await.map_err(as_errors)?;
    Ok(done(state_of(schema, &state), private, warnings))
}

/// The answer to a change that reached its plan.
fn done(state: Value, private: Vec<u8>, diagnostics: Diagnostics) -> Applied {
    Applied {
        state,
        private,
        diagnostics,
    }
}

async fn update<P: Send + Sync + 'static, R: Resource<P>>(
    resource: &R,
    schema: &Schema,
    provider: &P,
    change: Change,
    stop: &Stop,
) -> Result<Applied, Diagnostics> {
    let planned = write_only::filled_in(&schema.attributes, change.new.clone(), &change.config);
    let planned = PlannedOf::<R::Model>::from_value(&planned)?;
    let prior = R::Model::from_value(&change.prior)?;
    Ok(
        match resource.update(provider, prior, planned, change.private, stop).await {
            Ok(Updated {
                state,
                private,
                warnings,
            }) => done(state_of(schema, &state), private, warnings),
            Err(Failed {
                state,
                private,
                diagnostics,
            }) => Applied {
                state: state_of(schema, &state),
                private,
                diagnostics: as_errors(diagnostics),
            },
        },
    )
}

async fn delete<P: Send + Sync + 'static, R: Resource<P>>(
    resource: &R,
    provider: &P,
    change: Change,
    stop: &Stop,
) -> Result<Applied, Diagnostics> {
    let prior = R::Model::from_value(&change.prior)?;
    let diagnostics = resource
        .delete(provider, prior, change.private, stop)
        .await
        .map_err(as_errors)?;
    Ok(Applied {
        state: Value::Null,
        private: Vec::new(),
        diagnostics,
    })
}

/// A failure must say so: without an error Terraform would take what comes back for the planned result.
fn as_errors(mut diagnostics: Diagnostics) -> Diagnostics {
    if !diagnostics.has_errors() {
        diagnostics.push(Diagnostic::error(
            "The operation failed without saying why",
            "State holds what was reached. Run terraform apply again: it continues from what is there. This is an error in \
             the provider; please report it with the log (TF_LOG=debug).",
        ));
    }
    diagnostics
}
