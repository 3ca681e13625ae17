//! `sealgate.control.v1.Enrolment`.

use std::sync::Arc;

use proto::enrolment::{EnrolRequest, RenewRequest};
use proto::wire;
use proto::wire::enrolment_server::Enrolment;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::error::{Error, Kind};
use crate::pki::Pki;
use crate::rpc;

/// Enrolments that are looked at at the same time; anybody may try one.
const AT_ONCE: usize = 16;

/// The service.
pub struct Service {
    db: PgPool,
    pki: Arc<Pki>,
    slots: Semaphore,
}

impl Service {
    /// Over the shared parts.
    pub fn new(db: PgPool, pki: Arc<Pki>) -> Self {
        Self { db, pki, slots: Semaphore::new(AT_ONCE) }
    }
}

#[tonic::async_trait]
impl Enrolment for Service {
    async fn enrol(&self, request: Request<wire::EnrolRequest>) -> Result<Response<wire::EnrolResponse>, Status> {
        let address = rpc::peer(request.extensions())?.address.to_string();
        let request = EnrolRequest::try_from(request.into_inner())?;
        let Ok(_slot) = self.slots.try_acquire() else {
            return Err(rpc::status(Error::new(Kind::TooMany, "Many gateways enrol at this moment. Try again.")));
        };
        let enrolled = super::enrol(&self.db, &self.pki, &request, &address).await.map_err(rpc::status)?;
        tracing::info!(gateway = enrolled.name, "a gateway is enrolled");
        Ok(Response::new(enrolled.into()))
    }

    async fn renew(&self, request: Request<wire::RenewRequest>) -> Result<Response<wire::RenewResponse>, Status> {
        let presented = rpc::bearer(request.extensions())?;
        let request = RenewRequest::try_from(request.into_inner())?;
        let credentials = super::renew(&self.db, &self.pki, &presented, &request).await.map_err(rpc::status)?;
        Ok(Response::new(credentials.into()))
    }
}
