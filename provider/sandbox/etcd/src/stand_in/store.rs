//! Keys with revisions, as etcd keeps them: every version of every key since the last compaction.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use multizone_etcd_api::range_request::{SortOrder, SortTarget};
use multizone_etcd_api::{KeyValue, RangeRequest, RangeResponse, Refusal};

/// One version of a key. `pair.version` is 0 when the key was deleted.
#[derive(Debug, PartialEq)]
pub(super) struct Version {
    /// Its place among the changes of its revision.
    pub(super) sub: i64,
    pub(super) pair: KeyValue,
}

impl Version {
    pub(super) fn is_deletion(&self) -> bool {
        self.pair.version == 0
    }

    pub(super) fn place(&self) -> (i64, i64) {
        (self.pair.mod_revision, self.sub)
    }
}

/// The versions of all keys. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Store {
    /// The versions of each key, oldest first.
    keys: BTreeMap<Vec<u8>, Vec<Arc<Version>>>,
    /// The same in the order in which they were made.
    log: BTreeMap<(i64, i64), Arc<Version>>,
    revision: i64,
    compacted: i64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            keys: BTreeMap::new(),
            log: BTreeMap::new(),
            // An empty etcd is at revision 1.
            revision: 1,
            compacted: 0,
        }
    }
}

/// Which keys: one, those from `key` to before `end`, or all from `key` on (`end` is one zero byte).
fn range_of<'a>(key: &'a [u8], end: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    match end {
        [] => (Bound::Included(key), Bound::Included(key)),
        [0] => (Bound::Included(key), Bound::Unbounded),
        // Nothing lies between; an inverted range would not be allowed.
        end if end <= key => (Bound::Included(key), Bound::Excluded(key)),
        end => (Bound::Included(key), Bound::Excluded(end)),
    }
}

/// Whether the key is in the range; see [`range_of`].
pub(super) fn in_range(candidate: &[u8], key: &[u8], end: &[u8]) -> bool {
    match end {
        [] => candidate == key,
        [0] => candidate >= key,
        end => candidate >= key && candidate < end,
    }
}

impl Store {
    /// A store of these versions, in the order in which they were made.
    pub(super) fn load(revision: i64, compacted: i64, versions: impl IntoIterator<Item = Version>) -> Self {
        let mut store = Self {
            revision,
            compacted,
            ..Self::default()
        };
        for version in versions {
            store.insert(Arc::new(version));
        }
        store
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn compacted(&self) -> i64 {
        self.compacted
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.log.values()
    }

    /// The version of a key that counts at a revision, unless it is a deletion.
    pub(super) fn at(&self, key: &[u8], revision: i64) -> Option<&Arc<Version>> {
        live(self.keys.get(key)?, revision)
    }

    /// The version of a key that counts now, unless it is a deletion.
    pub(super) fn latest(&self, key: &[u8]) -> Option<&Arc<Version>> {
        self.at(key, i64::MAX)
    }

    /// The versions that count at a revision, of the keys in a range.
    pub(super) fn all_at<'a>(
        &'a self,
        key: &'a [u8],
        end: &'a [u8],
        revision: i64,
    ) -> impl Iterator<Item = &'a Arc<Version>> + 'a {
        self.keys
            .range::<[u8], _>(range_of(key, end))
            .filter_map(move |(_, versions)| live(versions, revision))
    }

    /// The changes from a revision on, oldest first.
    pub(super) fn since(&self, revision: i64) -> impl Iterator<Item = &Arc<Version>> {
        self.log.range((revision, 0)..).map(|(_, version)| version)
    }

    /// The version before this one, unless it is a deletion or compacted away.
    pub(super) fn before(&self, version: &Version) -> Option<&Arc<Version>> {
        let versions = self.keys.get(&version.pair.key)?;
        let place = versions.partition_point(|other| other.place() < version.place());
        versions[..place].last().filter(|previous| !previous.is_deletion())
    }

    /// Adds a version that was made at `place`.
    pub(super) fn insert(&mut self, version: Arc<Version>) {
        self.log.insert(version.place(), Arc::clone(&version));
        self.keys.entry(version.pair.key.clone()).or_default().push(version);
    }

    /// Makes the versions up to `revision` visible.
    pub(super) fn advance(&mut self, revision: i64) {
        self.revision = revision;
    }

    /// Whether one may read at this revision; 0 means now.
    pub(super) fn check_revision(&self, revision: i64) -> Result<(), Refusal> {
        if revision > self.revision {
            Err(Refusal::FutureRevision)
        } else if revision > 0 && revision < self.compacted {
            Err(Refusal::Compacted)
        } else {
            Ok(())
        }
    }

    /// Forgets what no revision from `revision` on needs; answers the places of what was forgotten.
    pub(super) fn compact(&mut self, revision: i64) -> Result<Vec<(i64, i64)>, Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        let mut forgotten = Vec::new();
        self.keys.retain(|_, versions| {
            let later = versions.partition_point(|version| version.pair.mod_revision <= revision);
            // The last of the earlier versions still counts at `revision`, unless it is an older deletion.
            let counts = later
                .checked_sub(1)
                .filter(|last| !versions[*last].is_deletion() || versions[*last].pair.mod_revision == revision);
            let keep_from = counts.unwrap_or(later);
            forgotten.extend(versions.drain(..keep_from).map(|version| version.place()));
            !versions.is_empty()
        });
        for place in &forgotten {
            self.log.remove(place);
        }
        Ok(forgotten)
    }

    /// Answers a range request; `now` is the revision that counts when none is asked for. The answer has no header.
    pub(super) fn range(&self, request: &RangeRequest, now: i64) -> Result<RangeResponse, Refusal> {
        self.check_revision(request.revision)?;
        let revision = if request.revision > 0 { request.revision } else { now };
        let between =
            |value: i64, least: i64, most: i64| (least == 0 || value >= least) && (most == 0 || value <= most);
        let mut found: Vec<&Arc<Version>> = Vec::new();
        let mut count = 0;
        for version in self.all_at(&request.key, &request.range_end, revision) {
            count += 1;
            let pair = &version.pair;
            if !request.count_only
                && between(pair.mod_revision, request.min_mod_revision, request.max_mod_revision)
                && between(
                    pair.create_revision,
                    request.min_create_revision,
                    request.max_create_revision,
                )
            {
                found.push(version);
            }
        }
        sort(&mut found, request);
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let more = limit.is_some_and(|limit| found.len() > limit);
        let pair = |version: &&Arc<Version>| {
            let mut pair = version.pair.clone();
            if request.keys_only {
                pair.value.clear();
            }
            pair
        };
        Ok(RangeResponse {
            header: None,
            kvs: found.iter().take(limit.unwrap_or(usize::MAX)).map(pair).collect(),
            more,
            count,
        })
    }
}

fn live(versions: &[Arc<Version>], revision: i64) -> Option<&Arc<Version>> {
    let later = versions.partition_point(|version| version.pair.mod_revision <= revision);
    versions[..later].last().filter(|version| !version.is_deletion())
}

fn sort(found: &mut [&Arc<Version>], request: &RangeRequest) {
    let order = request.sort_order();
    let target = request.sort_target();
    if order == SortOrder::None && target == SortTarget::Key {
        return;
    }
    match target {
        SortTarget::Key => found.sort_by(|a, b| a.pair.key.cmp(&b.pair.key)),
        SortTarget::Version => found.sort_by_key(|version| version.pair.version),
        SortTarget::Create => found.sort_by_key(|version| version.pair.create_revision),
        SortTarget::Mod => found.sort_by_key(|version| version.place()),
        SortTarget::Value => found.sort_by(|a, b| a.pair.value.cmp(&b.pair.value)),
    }
    if order == SortOrder::Descend {
        found.reverse();
    }
}
