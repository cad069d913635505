//! Leads each request to its service, by the first part of its path.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use multizone_etcd_api::cluster_server::ClusterServer;
use multizone_etcd_api::kv_server::KvServer;
use multizone_etcd_api::lease_server::LeaseServer;
use multizone_etcd_api::maintenance_server::MaintenanceServer;
use multizone_etcd_api::watch_server::WatchServer;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService as _;

use super::service::Service;

/// etcd takes requests of 1.5 MiB, and half as much again for what is around them.
const LARGEST_REQUEST: usize = 2 * 1024 * 1024;

/// All services of a member.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    kv: KvServer<Service>,
    watch: WatchServer<Service>,
    lease: LeaseServer<Service>,
    cluster: ClusterServer<Service>,
    maintenance: MaintenanceServer<Service>,
}

impl Routes {
    pub(super) fn new(service: &Service) -> Self {
        Self {
            kv: KvServer::new(service.clone()).max_decoding_message_size(LARGEST_REQUEST),
            watch: WatchServer::new(service.clone()),
            lease: LeaseServer::new(service.clone()),
            cluster: ClusterServer::new(service.clone()),
            maintenance: MaintenanceServer::new(service.clone()),
        }
    }
}

impl tower::Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    /// Every service is ready at any time.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        if name == KvServer::<Service>::NAME {
            self.kv.call(request)
        } else if name == WatchServer::<Service>::NAME {
            self.watch.call(request)
        } else if name == LeaseServer::<Service>::NAME {
            self.lease.call(request)
        } else if name == ClusterServer::<Service>::NAME {
            self.cluster.call(request)
        } else if name == MaintenanceServer::<Service>::NAME {
            self.maintenance.call(request)
        } else {
            let status = Status::unimplemented(format!("unknown service {name}"));
            Box::pin(async move { Ok(status.into_http()) })
        }
    }
}
