//! Two processes want the same lock.

use super::*;
use crate::resources::memory_cloud::MemoryCloud;

const AT_ONCE: Duration = Duration::from_millis(10);
const NEVER: Duration = Duration::from_hours(1);

fn holder(identity: &str, gone: &'static [&'static str]) -> RolloutHolder {
    RolloutHolder {
        identity: identity.to_owned(),
        now: Arc::new(jiff::Timestamp::now),
        is_gone: Arc::new(move |identity| gone.contains(&identity)),
    }
}

/// A lock that is renewed all the time, and lasts this long without.
fn notices(lasts: Duration) -> Notices {
    let (cloud, _) = MemoryCloud::region();
    Notices {
        cloud,
        cluster: ClusterName::new("demo"),
        name: "turn".to_owned(),
        terms: Terms {
            lasts,
            renewed: AT_ONCE,
            looked_at: AT_ONCE,
        },
    }
}

async fn take(notices: &Notices, holder: &RolloutHolder, patience: Duration) -> Result<Lock, LockError> {
    Lock::take(notices.clone(), holder, Instant::now() + patience, &Stop::new()).await
}

async fn taken(notices: &Notices, holder: &RolloutHolder) -> Lock {
    let lock = take(notices, holder, NEVER).await;
    lock.unwrap_or_else(|error| panic!("{error:?}"))
}

async fn until(reached: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !reached().await {
        assert!(Instant::now() < deadline, "it never came to that");
        sleep(AT_ONCE).await;
    }
}

#[tokio::test]
async fn one_waits_until_the_other_has_ended_and_nothing_is_left() {
    let notices = notices(NEVER);
    let (one, other) = (holder("host/1/1", &[]), holder("host/2/1", &[]));
    let held = taken(&notices, &one).await;
    assert!(matches!(take(&notices, &other, Duration::ZERO).await, Err(LockError::Taken { by }) if by == "host/1/1"));
    let waiting = tokio::spawn({
        let notices = notices.clone();
        async move { taken(&notices, &other).await.end().await }
    });
    let first = notices.read().await.unwrap();
    until(async || notices.read().await.unwrap() != first).await;
    assert!(held.is_held(), "it is renewed");
    assert!(!waiting.is_finished());
    held.end().await;
    waiting.await.unwrap();
    assert_eq!(notices.read().await.unwrap(), None);
}

#[tokio::test]
async fn a_holder_that_has_died_is_taken_over_at_once_here_and_in_time_elsewhere() {
    let lasting = notices(NEVER);
    // Dropped as a process that is killed drops it.
    drop(taken(&lasting, &holder("host/1/1", &[])).await);
    let next = take(&lasting, &holder("host/2/1", &["host/1/1"]), Duration::ZERO).await;
    assert!(next.is_ok(), "who has ended here is waited for by nobody");
    drop(next);
    let elsewhere = holder("elsewhere/3/1", &[]);
    assert!(take(&lasting, &elsewhere, Duration::ZERO).await.is_err());

    let brief = Notices {
        terms: Terms {
            lasts: AT_ONCE,
            ..lasting.terms
        },
        ..lasting
    };
    assert!(taken(&brief, &elsewhere).await.is_held());
}

#[tokio::test]
async fn who_was_taken_over_notices_it_and_leaves_the_others_lock_alone() {
    let notices = notices(NEVER);
    let held = taken(&notices, &holder("host/1/1", &[])).await;
    let other = taken(&notices, &holder("host/2/1", &["host/1/1"])).await;
    until(async || !held.is_held()).await;
    assert!(other.is_held());
    held.end().await;
    let found = notices.read().await.unwrap().unwrap();
    assert_eq!(super::holder(&found), "host/2/1");
}

#[tokio::test]
async fn its_own_notice_of_which_the_reply_was_lost_is_taken_for_its_own() {
    let notices = notices(NEVER);
    assert!(notices.post("host/1/1", 0, None).await.unwrap().is_some());
    assert!(take(&notices, &holder("host/1/1", &[]), Duration::ZERO).await.is_ok());
}

#[tokio::test]
async fn a_wait_is_stopped_when_asked() {
    let notices = notices(NEVER);
    let _held = taken(&notices, &holder("host/1/1", &[])).await;
    let stop = Stop::new();
    stop.request();
    let waited = Lock::take(notices, &holder("host/2/1", &[]), Instant::now() + NEVER, &stop).await;
    assert!(matches!(waited, Err(LockError::Stopped)));
}
