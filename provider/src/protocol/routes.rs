//! Leads each request to its service, by the first part of its path.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService as _;
use tower::Service;

use super::companions::Companions;
use super::lifecycle::Lifecycle;
use super::provider::ProviderService;
use super::wire::health::health_server::HealthServer;
use super::wire::plugin::grpc_broker_server::GrpcBrokerServer;
use super::wire::plugin::grpc_controller_server::GrpcControllerServer;
use super::wire::plugin::grpc_stdio_server::GrpcStdioServer;
use super::wire::tfplugin6::provider_server::ProviderServer;

/// The largest message, as in Terraform itself: a state may be large.
const MAX_MESSAGE: usize = 256 << 20;

/// All services of the process.
#[derive(Debug)]
pub struct Routes<P: Send + Sync + 'static> {
    provider: ProviderServer<ProviderService<P>>,
    controller: GrpcControllerServer<Companions>,
    stdio: GrpcStdioServer<Companions>,
    broker: GrpcBrokerServer<Companions>,
    health: HealthServer<Companions>,
}

impl<P: Send + Sync + 'static> Clone for Routes<P> {
    fn clone(&self) -> Self {
        Self {
            provider: self.provider.clone(),
            controller: self.controller.clone(),
            stdio: self.stdio.clone(),
            broker: self.broker.clone(),
            health: self.health.clone(),
        }
    }
}

impl<P: Clone + Send + Sync + 'static> Routes<P> {
    /// The provider's service and its companions.
    pub fn new(provider: ProviderService<P>, lifecycle: Lifecycle) -> Self {
        let companions = Companions::new(lifecycle);
        Self {
            provider: ProviderServer::new(provider)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            controller: GrpcControllerServer::new(companions.clone()),
            stdio: GrpcStdioServer::new(companions.clone()),
            broker: GrpcBrokerServer::new(companions.clone()),
            health: HealthServer::new(companions),
        }
    }
}

impl<P: Clone + Send + Sync + 'static> Service<Request<Body>> for Routes<P> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    /// Every service is ready at any time.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        if name == ProviderServer::<ProviderService<P>>::NAME {
            self.provider.call(request)
        } else if name == GrpcControllerServer::<Companions>::NAME {
            self.controller.call(request)
        } else if name == GrpcStdioServer::<Companions>::NAME {
            self.stdio.call(request)
        } else if name == GrpcBrokerServer::<Companions>::NAME {
            self.broker.call(request)
        } else if name == HealthServer::<Companions>::NAME {
            self.health.call(request)
        } else {
            let status = Status::unimplemented(format!("this plugin has no service {name:?}"));
            Box::pin(async move { Ok(status.into_http()) })
        }
    }
}
