//! The services that every plugin process has besides its own: shutdown, output, broker, health.

use std::future::ready;
use std::pin::Pin;

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status, Streaming};

use super::lifecycle::Lifecycle;
use super::wire::health::health_check_response::ServingStatus;
use super::wire::health::health_server::Health;
use super::wire::health::{HealthCheckRequest, HealthCheckResponse};
use super::wire::plugin::grpc_broker_server::GrpcBroker;
use super::wire::plugin::grpc_controller_server::GrpcController;
use super::wire::plugin::grpc_stdio_server::GrpcStdio;
use super::wire::plugin::{ConnInfo, Empty, StdioData};

/// The name under which the host asks for our health.
const HEALTH_NAME: &str = "plugin";

type MessageStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// All of them; they share nothing but the process' life.
#[derive(Debug, Clone)]
pub struct Companions {
    lifecycle: Lifecycle,
}

impl Companions {
    /// The services of a process with this life.
    pub fn new(lifecycle: Lifecycle) -> Self {
        Self { lifecycle }
    }

    /// A stream that carries nothing and stays open until the process ends.
    ///
    /// It matters that it stays open: it keeps the host's connection from being closed for idleness.
    fn silent<T: Send + 'static>(&self) -> MessageStream<T> {
        let lifecycle = self.lifecycle.clone();
        async move { lifecycle.closing().await }
            .into_stream()
            .filter_map(|()| ready(None))
            .boxed()
    }
}

#[tonic::async_trait]
impl GrpcController for Companions {
    /// The host is done with us; it kills us two seconds later if need be.
    async fn shutdown(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        tracing::debug!("Terraform asks for the shutdown");
        self.lifecycle.request_stop();
        self.lifecycle.close();
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl GrpcStdio for Companions {
    type StreamStdioStream = MessageStream<StdioData>;

    /// Everything we have to say goes to standard error as log lines, which the host reads by itself.
    async fn stream_stdio(&self, _request: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(self.silent()))
    }
}

#[tonic::async_trait]
impl GrpcBroker for Companions {
    type StartStreamStream = MessageStream<ConnInfo>;

    /// Terraform opens the broker and has no use for it. The stream ends when the host closes its side.
    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let host_closed = request
            .into_inner()
            .for_each(|_| ready(()))
            .map(|()| None)
            .into_stream();
        let ours = self.silent().map(Some);
        let both = stream::select(host_closed, ours).take_while(|message| ready(message.is_some()));
        Ok(Response::new(both.filter_map(ready).boxed()))
    }
}

#[tonic::async_trait]
impl Health for Companions {
    type WatchStream = MessageStream<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match request.into_inner().service.as_str() {
            "" | HEALTH_NAME => Ok(Response::new(health(ServingStatus::Serving))),
            other => Err(Status::not_found(format!("no service is called {other:?}"))),
        }
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let status = match request.into_inner().service.as_str() {
            "" | HEALTH_NAME => ServingStatus::Serving,
            _ => ServingStatus::ServiceUnknown,
        };
        Ok(Response::new(
            stream::iter([Ok(health(status))]).chain(self.silent()).boxed(),
        ))
    }
}

fn health(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
