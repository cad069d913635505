//! The Watch service: one stream carries any number of watches.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use multizone_etcd_api::event::EventType;
use multizone_etcd_api::watch_create_request::FilterType;
use multizone_etcd_api::watch_request::RequestUnion;
use multizone_etcd_api::watch_server::Watch;
use multizone_etcd_api::{Event, Refusal, WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::service::{Service, requires_leader};
use super::state::State;
use super::store::{Version, in_range};

/// kubeadm's interval between signs of life of a quiet watch.
const PROGRESS: Duration = Duration::from_secs(5);
/// How many answers may wait for a slow client.
const BUFFERED: usize = 64;
/// The watch ID that etcd answers a progress request with: it is about all watches of the stream.
const ALL: i64 = -1;

/// One watch.
#[derive(Debug)]
struct Watched {
    request: WatchCreateRequest,
    /// The next revision to look at.
    next: i64,
    /// Whether something was sent since the last sign of life.
    busy: bool,
}

/// The watches of one stream.
struct Watches {
    service: Service,
    watched: BTreeMap<i64, Watched>,
    next_id: i64,
    answers: mpsc::Sender<Result<WatchResponse, Status>>,
}

/// The client has gone.
struct Gone;

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        self.admit(request.metadata(), false)?;
        let needs_leader = requires_leader(request.metadata());
        let (answers, receiver) = mpsc::channel(BUFFERED);
        let watches = Watches {
            service: self.clone(),
            watched: BTreeMap::new(),
            next_id: 0,
            answers,
        };
        tokio::spawn(watches.serve(request.into_inner(), needs_leader));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Watches {
    /// Until the client, or this member, has gone.
    async fn serve(mut self, mut requests: Streaming<WatchRequest>, needs_leader: bool) {
        let mut changed = self.service.seat.cluster.subscribe();
        let mut progress = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let went_on = tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.take(request).await,
                    Ok(None) | Err(_) => return,
                },
                change = changed.changed() => {
                    if change.is_err() {
                        return;
                    }
                    if needs_leader && self.service.leader().is_none() {
                        let _ = self.answers.send(Err(Refusal::NoLeader.into())).await;
                        return;
                    }
                    self.catch_up().await
                }
                _ = progress.tick() => self.signs_of_life().await,
                () = self.answers.closed() => return,
            };
            if went_on.is_err() {
                return;
            }
        }
    }

    async fn send(&self, answer: WatchResponse) -> Result<(), Gone> {
        self.answers.send(Ok(answer)).await.map_err(|_| Gone)
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, Gone> {
        self.service.seat.look(look).map_err(|_| Gone)
    }

    /// An answer about a watch, with the header of now.
    fn about(&self, watch_id: i64) -> Result<WatchResponse, Gone> {
        Ok(WatchResponse {
            header: self.service.seat.header().map_err(|_| Gone)?,
            watch_id,
            ..WatchResponse::default()
        })
    }

    async fn take(&mut self, request: WatchRequest) -> Result<(), Gone> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request).await,
            Some(RequestUnion::CancelRequest(cancel)) => {
                if self.watched.remove(&cancel.watch_id).is_none() {
                    return Ok(());
                }
                let canceled = WatchResponse {
                    canceled: true,
                    ..self.about(cancel.watch_id)?
                };
                self.send(canceled).await
            }
            Some(RequestUnion::ProgressRequest(_)) => {
                // Everything up to the header's revision has been sent before it.
                self.catch_up().await?;
                let progress = self.about(ALL)?;
                let sent = progress.header.as_ref().map_or(0, |header| header.revision);
                if self.watched.values().all(|watched| watched.next > sent) {
                    self.send(progress).await
                } else {
                    Ok(())
                }
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, mut request: WatchCreateRequest) -> Result<(), Gone> {
        if request.key.is_empty() {
            // An empty key with an end means everything up to it; alone it is the smallest key.
            request.key = vec![0];
        }
        let revision = self.look(|state| state.store.revision())?;
        let next = if request.start_revision > 0 {
            request.start_revision
        } else {
            revision + 1
        };
        let id = match request.watch_id {
            0 => {
                while self.watched.contains_key(&self.next_id) {
                    self.next_id += 1;
                }
                self.next_id
            }
            wanted => wanted,
        };
        let created = WatchResponse {
            created: true,
            ..self.about(id)?
        };
        if self.watched.contains_key(&id) {
            let refused = WatchResponse {
                watch_id: ALL,
                canceled: true,
                cancel_reason: "mvcc: duplicate watch ID provided on the WatchStream".to_owned(),
                ..created
            };
            return self.send(refused).await;
        }
        if request.watch_id == 0 {
            self.next_id += 1;
        }
        let busy = false;
        self.watched.insert(id, Watched { request, next, busy });
        self.send(created).await?;
        self.catch_up().await
    }

    /// Sends what every watch has not seen.
    async fn catch_up(&mut self) -> Result<(), Gone> {
        let ids: Vec<i64> = self.watched.keys().copied().collect();
        for id in ids {
            let Some(watched) = self.watched.get_mut(&id) else {
                continue;
            };
            let seat = &self.service.seat;
            let looked = seat.look(|state| {
                let header = Some(seat.cluster.header(seat.id, state));
                let (revision, compacted) = (state.store.revision(), state.store.compacted());
                if watched.next < compacted {
                    return (header, Err(compacted));
                }
                let events = events(state, watched);
                watched.next = watched.next.max(revision + 1);
                (header, Ok(events))
            });
            let (header, events) = looked.map_err(|_| Gone)?;
            let answer = WatchResponse {
                header,
                watch_id: id,
                ..WatchResponse::default()
            };
            match events {
                Ok(events) if events.is_empty() => {}
                Ok(events) => {
                    watched.busy = true;
                    self.send(WatchResponse { events, ..answer }).await?;
                }
                Err(compact_revision) => {
                    self.watched.remove(&id);
                    let canceled = WatchResponse {
                        canceled: true,
                        compact_revision,
                        cancel_reason: Refusal::Compacted.text().to_owned(),
                        ..answer
                    };
                    self.send(canceled).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells the watches that asked for it how far they are, if nothing else did.
    async fn signs_of_life(&mut self) -> Result<(), Gone> {
        self.catch_up().await?;
        let mut quiet = Vec::new();
        for (id, watched) in &mut self.watched {
            if watched.request.progress_notify && !std::mem::take(&mut watched.busy) {
                quiet.push(*id);
            }
        }
        for id in quiet {
            self.send(self.about(id)?).await?;
        }
        Ok(())
    }
}

/// What happened to the watched keys from the watch's next revision on.
fn events(state: &State, watched: &Watched) -> Vec<Event> {
    let request = &watched.request;
    let filtered = |filter: FilterType| request.filters().any(|wanted| wanted == filter);
    let (no_puts, no_deletions) = (filtered(FilterType::Noput), filtered(FilterType::Nodelete));
    let wanted = |version: &Version| {
        in_range(&version.pair.key, &request.key, &request.range_end)
            && !(if version.is_deletion() { no_deletions } else { no_puts })
    };
    let seen = state.store.since(watched.next).filter(|version| wanted(version));
    seen.map(|version| {
        let kind = if version.is_deletion() {
            EventType::Delete
        } else {
            EventType::Put
        };
        let previous = state.store.before(version).filter(|_| request.prev_kv);
        Event {
            r#type: kind as i32,
            kv: Some(version.pair.clone()),
            prev_kv: previous.map(|previous| previous.pair.clone()),
        }
    })
    .collect()
}
