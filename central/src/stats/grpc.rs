//! `sealgate.control.v1.Reports`.

use std::sync::Arc;

use proto::report::Report;
use proto::wire;
use proto::wire::reports_server::Reports;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::Stats;
use crate::error::{Error, Kind};
use crate::gateways::Fleet;
use crate::pki::Pki;
use crate::rpc;

/// Reports in memory at the same time. Further ones wait; a late acknowledgement is the back-pressure.
const AT_ONCE: usize = 64;

/// The service.
pub struct Service {
    stats: Arc<Stats>,
    pki: Arc<Pki>,
    fleet: Arc<Fleet>,
    slots: Semaphore,
}

impl Service {
    /// Over the shared parts.
    pub fn new(stats: Arc<Stats>, pki: Arc<Pki>, fleet: Arc<Fleet>) -> Self {
        Self { stats, pki, fleet, slots: Semaphore::new(AT_ONCE) }
    }
}

#[tonic::async_trait]
impl Reports for Service {
    async fn send(&self, request: Request<wire::Report>) -> Result<Response<wire::ReportAck>, Status> {
        let presented = rpc::active(request.extensions(), &self.pki, &self.fleet)?;
        let _slot = self.slots.acquire().await.map_err(|_| {
            rpc::status(Error::new(Kind::Unavailable, "This replica of Central stops.").code("going-away"))
        })?;
        let report = Report::try_from(request.into_inner())?;
        let ack = self.stats.ingest(&presented, &report).await.map_err(rpc::status)?;
        Ok(Response::new(ack.into()))
    }
}
