//! One change of the region: checked, undoable, written whole.

use super::error::Refusal;
use super::operations::{Effect, Operation, OperationError, OperationStatus, Scope, Step};
use super::records::{AnsweredRequest, Identity};
use super::settings::Settings;
use super::state::{Counters, Record, State};
use super::store::{Event, Store, Write};
use jiff::{SignedDuration, Timestamp};

type Undo = Box<dyn FnOnce(&mut State) + Send>;

/// A change being made.
pub struct Transaction<'a> {
    pub(super) state: &'a mut State,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
    actor: String,
    token: Option<String>,
    undo: Vec<Undo>,
    writes: Vec<Write>,
    events: Vec<Event>,
}

/// What an operation is about: its verb (`instances.insert`), where it is listed, its object.
pub(super) struct Subject {
    pub(super) verb: &'static str,
    pub(super) scope: Scope,
    pub(super) path: String,
    pub(super) id: u64,
    detail: Option<String>,
}

impl Subject {
    /// Adds what else the event log says.
    pub(super) fn about(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn new(state: &'a mut State, settings: &'a Settings, actor: &str, now: Timestamp) -> Self {
        Self {
            state,
            settings,
            now,
            actor: actor.to_owned(),
            token: None,
            undo: Vec::new(),
            writes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// What exists.
    pub fn state(&self) -> &State {
        self.state
    }

    /// What the region is.
    pub fn settings(&self) -> &Settings {
        self.settings
    }

    /// Disks matter to the guests only when they go.
    fn touch<R: Record>(&mut self, gone: bool) {
        if ["instance", "firewall", "outage", "forwardingRule", "target"].contains(&R::TABLE)
            || (gone && R::TABLE == "disk")
        {
            self.state.layout += 1;
        }
    }

    pub(super) fn put<R: Record>(&mut self, record: R) {
        self.touch::<R>(false);
        let key = record.key();
        let row = serde_json::to_string(&record).unwrap_or_default();
        self.writes.push(Write {
            table: R::TABLE,
            key: key.clone(),
            row: Some(row),
        });
        let old = R::table_mut(self.state).insert(key.clone(), record);
        self.undo.push(Box::new(move |state| {
            let table = R::table_mut(state);
            match old {
                Some(old) => table.insert(key, old),
                None => table.remove(&key),
            };
        }));
    }

    pub(super) fn remove<R: Record>(&mut self, key: &str) {
        self.touch::<R>(true);
        if let Some(old) = R::table_mut(self.state).remove(key) {
            self.writes.push(Write {
                table: R::TABLE,
                key: key.to_owned(),
                row: None,
            });
            let key = key.to_owned();
            self.undo.push(Box::new(move |state| {
                R::table_mut(state).insert(key, old);
            }));
        }
    }

    /// Changes the object with this key, if it exists.
    pub(super) fn alter<R: Record>(&mut self, key: &str, change: impl FnOnce(&mut R)) {
        if let Some(mut record) = R::table(self.state).get(key).cloned() {
            change(&mut record);
            self.put(record);
        }
    }

    pub(super) fn put_operation(&mut self, operation: Operation) {
        let name = operation.name.clone();
        let old = self.state.operations.get(&name).and_then(Operation::due);
        let new = operation.due();
        self.put(operation);
        if let Some(at) = old {
            self.state.due.remove(&(at, name.clone()));
        }
        if let Some(at) = new {
            self.state.due.insert((at, name.clone()));
        }
        self.undo.push(Box::new(move |state| {
            if let Some(at) = new {
                state.due.remove(&(at, name.clone()));
            }
            if let Some(at) = old {
                state.due.insert((at, name));
            }
        }));
    }

    fn count(&mut self, change: impl FnOnce(&mut Counters)) -> Counters {
        let mut counters = self.state.counters.get("").cloned().unwrap_or_default();
        change(&mut counters);
        self.put(counters.clone());
        counters
    }

    /// A new number, unique in the region and without visible order.
    pub(super) fn new_id(&mut self) -> u64 {
        let mut x = self
            .count(|counters| counters.ids += 1)
            .ids
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // splitmix64: a bijection, so that different counters give different IDs.
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) >> 1
    }

    pub(super) fn new_identity(&mut self, name: &str, description: &str) -> Identity {
        Identity {
            id: self.new_id(),
            created: self.now,
            name: name.to_owned(),
            description: description.to_owned(),
        }
    }

    /// Records that something happened.
    pub(super) fn note(&mut self, verb: &str, object: &str, operation: Option<String>, detail: Option<String>) {
        let sequence = self.count(|counters| counters.events += 1).events;
        self.events.push(Event {
            sequence,
            at: self.now,
            actor: self.actor.clone(),
            verb: verb.to_owned(),
            object: object.to_owned(),
            operation,
            detail,
        });
    }

    /// Answers a request once: the same token with the same request gets the first answer again, the same token with
    /// another request is refused.
    pub fn once(
        &mut self,
        token: Option<&str>,
        request: &str,
        work: impl FnOnce(&mut Self) -> Result<Operation, Refusal>,
    ) -> Result<Operation, Refusal> {
        let Some(token) = token else { return work(self) };
        if !is_uuid(token) {
            return Err(Refusal::invalid(
                "requestId",
                token,
                "Must be a valid UUID other than zero",
            ));
        }
        if let Some(answered) = self.state.answered.get(token) {
            if answered.request != request {
                return Err(Refusal::invalid(
                    "requestId",
                    token,
                    "The ID was used by a request with other parameters",
                ));
            }
            if let Some(operation) = self.state.operations.get(&answered.operation) {
                return Ok(operation.clone());
            }
        }
        self.token = Some(token.to_owned());
        let operation = work(self)?;
        self.put(AnsweredRequest {
            token: token.to_owned(),
            request: request.to_owned(),
            operation: operation.name.clone(),
            at: self.now,
        });
        Ok(operation)
    }

    /// Forgets operations that ended two weeks ago, as Compute Engine does, and the tokens that led to them.
    pub(super) fn forget_old_operations(&mut self) {
        let horizon = self.now - SignedDuration::from_hours(14 * 24);
        let old: Vec<String> = self
            .state
            .operations
            .values()
            .filter(|it| it.ended.is_some_and(|at| at < horizon))
            .map(|it| it.name.clone())
            .collect();
        for name in old {
            self.remove::<Operation>(&name);
        }
        let unanswered: Vec<String> = self
            .state
            .answered
            .values()
            .filter(|it| !self.state.operations.contains_key(&it.operation))
            .map(|it| it.token.clone())
            .collect();
        for token in unanswered {
            self.remove::<AnsweredRequest>(&token);
        }
    }

    /// Starts an operation: `steps` are seconds of a real region after now, in order; the last one ends it.
    pub(super) fn begin(&mut self, subject: Subject, steps: impl IntoIterator<Item = (f64, Effect)>) -> Operation {
        let id = self.new_id();
        let verb = subject.verb.rsplit('.').next().unwrap_or(subject.verb);
        let first = Step {
            at: self.settings.after(self.now, 0.4),
            effect: Effect::Begin,
        };
        let rest = steps.into_iter().map(|(seconds, effect)| Step {
            at: self.settings.after(self.now, seconds),
            effect,
        });
        let operation = Operation {
            name: format!("operation-{}-{id:016x}", self.now.as_millisecond()),
            id,
            verb: verb.to_owned(),
            scope: subject.scope,
            target: subject.path.clone(),
            target_id: subject.id,
            status: OperationStatus::Pending,
            inserted: self.now,
            started: None,
            ended: None,
            error: None,
            token: self.token.clone(),
            steps: std::iter::once(first).chain(rest).collect(),
        };
        self.note(
            subject.verb,
            &subject.path,
            Some(operation.name.clone()),
            subject.detail,
        );
        self.put_operation(operation.clone());
        operation
    }

    /// Carries out the next step of an operation.
    pub(super) fn step(&mut self, name: &str) {
        let Some(mut operation) = self.state.operations.get(name).cloned() else {
            return;
        };
        if operation.steps.is_empty() {
            return;
        }
        let step = operation.steps.remove(0);
        if operation.started.is_none() {
            operation.started = Some(self.now);
            operation.status = OperationStatus::Running;
        }
        self.apply(step.effect);
        if operation.steps.is_empty() {
            operation.status = OperationStatus::Done;
            operation.ended = Some(self.now);
            self.note(
                "operation.done",
                &operation.target.clone(),
                Some(name.to_owned()),
                Some(operation.verb.clone()),
            );
        }
        self.put_operation(operation);
    }

    /// Ends an operation without its remaining steps.
    pub(super) fn fail(&mut self, name: &str, error: OperationError) {
        let Some(mut operation) = self.state.operations.get(name).cloned() else {
            return;
        };
        operation.steps.clear();
        operation.started.get_or_insert(self.now);
        operation.status = OperationStatus::Done;
        operation.ended = Some(self.now);
        let detail = format!("{}: {}", error.code, error.message);
        operation.error = Some(error);
        let target = operation.target.clone();
        self.put_operation(operation);
        self.note("operation.failed", &target, Some(name.to_owned()), Some(detail));
    }

    /// Refuses when an operation on the object at `path` is under way.
    pub(super) fn require_ready(&self, path: &str) -> Result<(), Refusal> {
        match self.state.operations_on(path).next() {
            Some(_) => Err(Refusal::not_ready(path)),
            None => Ok(()),
        }
    }

    /// Refuses when the object at `path` is being made or deleted.
    pub(super) fn require_existing(&self, path: &str) -> Result<(), Refusal> {
        let comes_or_goes = |it: &Operation| matches!(it.verb.as_str(), "insert" | "delete");
        if self.state.operations_on(path).any(comes_or_goes) {
            return Err(Refusal::not_ready(path));
        }
        Ok(())
    }

    /// Refuses a zone that is not of this region.
    pub(super) fn require_zone(&self, zone: &str) -> Result<(), Refusal> {
        self.settings.require_zone(zone)
    }

    /// Refuses a region that is not this one.
    pub(super) fn require_region(&self, region: &str) -> Result<(), Refusal> {
        self.settings.require_region(region)
    }

    /// Refuses a change in a zone that is out.
    pub(super) fn require_zone_up(&self, zone: &str) -> Result<(), Refusal> {
        if self.state.outages.contains_key(zone) {
            return Err(Refusal::unavailable(format!(
                "Backend Error: the zone '{zone}' is not available"
            )));
        }
        Ok(())
    }

    pub(super) fn zonal(verb: &'static str, zone: &str, path: String, id: u64) -> Subject {
        Subject {
            verb,
            scope: Scope::Zone(zone.to_owned()),
            path,
            id,
            detail: None,
        }
    }

    pub(super) fn regional(&self, verb: &'static str, path: String, id: u64) -> Subject {
        Subject {
            verb,
            scope: Scope::Region(self.settings.region.name.to_owned()),
            path,
            id,
            detail: None,
        }
    }

    pub(super) fn global(verb: &'static str, path: String, id: u64) -> Subject {
        Subject {
            verb,
            scope: Scope::Global,
            path,
            id,
            detail: None,
        }
    }

    pub(super) fn commit(mut self, store: &mut Store) -> Result<(), Refusal> {
        // Only the last write of a row counts; the counters alone are written many times in one change.
        let mut seen = std::collections::BTreeSet::new();
        let mut writes: Vec<Write> = std::mem::take(&mut self.writes);
        if writes.is_empty() && self.events.is_empty() {
            return Ok(());
        }
        writes.reverse();
        writes.retain(|write| seen.insert((write.table, write.key.clone())));
        if let Err(error) = store.commit(&writes, &self.events) {
            self.undo();
            return Err(Refusal::internal(error.to_string()));
        }
        Ok(())
    }

    pub(super) fn undo(self) {
        for undo in self.undo.into_iter().rev() {
            undo(self.state);
        }
    }
}

fn is_uuid(token: &str) -> bool {
    let groups: Vec<&str> = token.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
        && token.bytes().any(|byte| byte != b'0' && byte != b'-')
}
