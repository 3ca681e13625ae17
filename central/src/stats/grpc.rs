//! `sealgate.control.v1.Reports`.

use std::sync::Arc;

use proto::report::Report;
use proto::wire;
use proto::wire::reports_server::Reports;
use tonic::{Request, Response, Status};

use super::Stats;
use crate::gateways::Fleet;
use crate::pki::Pki;
use crate::rpc;

/// The service.
pub struct Service {
    stats: Arc<Stats>,
    pki: Arc<Pki>,
    fleet: Arc<Fleet>,
}

impl Service {
    /// Over the shared parts.
    pub fn new(stats: Arc<Stats>, pki: Arc<Pki>, fleet: Arc<Fleet>) -> Self {
        Self { stats, pki, fleet }
    }
}

#[tonic::async_trait]
impl Reports for Service {
    async fn send(&self, request: Request<wire::Report>) -> Result<Response<wire::ReportAck>, Status> {
        let presented = rpc::active(request.extensions(), &self.pki, &self.fleet)?;
        let report = Report::try_from(request.into_inner())?;
        let ack = self.stats.ingest(&presented, &report).await.map_err(rpc::status)?;
        Ok(Response::new(ack.into()))
    }
}
