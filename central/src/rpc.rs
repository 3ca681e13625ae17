//! Every gRPC service on one page, with its limits, and the mutual TLS under it.
//!
//! ```text
//! accept ──a free place?──▶ TLS (bounded number, 10 s) ──▶ Peer {certificate, address} ──▶ HTTP/2 ──▶ a service
//!                                                             └── in the extensions of each request
//! ```
//! The table of services is `routes`. `bearer` and `active` say what a certificate is good for; they look at the
//! clock at each call, so that a connection does not outlive the certificate that opened it.

mod listener;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use proto::wire::enrolment_server::EnrolmentServer;
use proto::wire::policies_server::PoliciesServer;
use proto::wire::reports_server::ReportsServer;
use sqlx::PgPool;
use time::OffsetDateTime;
use tonic::Status;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::metadata::MetadataValue;
use tonic::service::Routes;

pub use listener::{Admission, serve};

use crate::enrolment;
use crate::error::{Error, Kind};
use crate::feed::Feed;
use crate::gateways::{self, Fleet};
use crate::pki::{Pki, Presented, Standing};
use crate::policies;
use crate::stats::{self, Stats};

/// Metadata that carries the stable code of a refusal.
pub const CODE: &str = "sealgate-code";

/// Longest enrolment message, in bytes.
const ENROLMENT_BYTES: usize = 16 * 1024;
/// Longest message of a gateway on the policy stream, in bytes.
const WATCH_UP_BYTES: usize = 64 * 1024;
/// Longest time of a call that is not a stream.
const UNARY: Duration = Duration::from_secs(30);
/// The one call that is a stream.
const STREAM: &str = "/sealgate.control.v1.Policies/Watch";
/// The call with large messages.
const REPORT: &str = "/sealgate.control.v1.Reports/Send";
/// The call that needs no certificate.
const ENROL: &str = "/sealgate.control.v1.Enrolment/Enrol";
/// The call for which an expired certificate is good.
const RENEW: &str = "/sealgate.control.v1.Enrolment/Renew";

/// What the services share.
#[derive(Clone)]
pub struct Services {
    /// For everything but reports.
    pub db: PgPool,
    /// Certificates.
    pub pki: Arc<Pki>,
    /// The head of the policies.
    pub feed: Arc<Feed>,
    /// Open streams.
    pub fleet: Arc<Fleet>,
    /// Reports.
    pub stats: Arc<Stats>,
    /// What enrolment tokens carry: `https://host:port`.
    pub address: Arc<str>,
}

/// The services: messages larger than the limit are refused before they are decoded.
fn routes(shared: &Services) -> Routes {
    let Services { db, pki, feed, fleet, stats, address: _ } = shared.clone();
    let enrolment = enrolment::grpc::Service::new(db.clone(), pki.clone());
    let watch = policies::grpc::Service::new(db, pki.clone(), feed, fleet.clone());
    let reports = stats::grpc::Service::new(stats, pki, fleet);
    Routes::builder()
        .add_service(EnrolmentServer::new(enrolment).max_decoding_message_size(ENROLMENT_BYTES))
        .add_service(PoliciesServer::new(watch).max_decoding_message_size(WATCH_UP_BYTES))
        .add_service(
            ReportsServer::new(reports).max_decoding_message_size(proto::limits::MESSAGE_BYTES).accept_compressed(Gzip),
        )
        .clone()
        .routes()
        .prepare()
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The certificate, where one was presented and verified.
    pub presented: Option<Arc<Presented>>,
    /// Where it calls from.
    pub address: SocketAddr,
}

/// The peer of the connection that a request came over.
pub(crate) fn peer(extensions: &Extensions) -> Result<Peer, Status> {
    extensions.get::<Peer>().cloned().ok_or_else(|| Status::internal("the connection has no peer"))
}

/// May this peer make this call? Asked before its message is read.
fn admit(path: &str, extensions: &Extensions, services: &Services) -> Result<(), Status> {
    match path {
        ENROL => Ok(()),
        RENEW => bearer(extensions).map(drop),
        _ => active(extensions, &services.pki, &services.fleet).map(drop),
    }
}

/// The bearer of a certificate that the handshake verified, whatever its dates: for Renew alone.
pub(crate) fn bearer(extensions: &Extensions) -> Result<Arc<Presented>, Status> {
    peer(extensions)?.presented.ok_or_else(|| {
        status(
            Error::new(Kind::Unauthenticated, "A gateway's certificate is needed. Enrol first.")
                .code("certificate-required"),
        )
    })
}

/// The bearer of a certificate that is valid now and not known to be refused.
pub(crate) fn active(extensions: &Extensions, pki: &Pki, fleet: &Fleet) -> Result<Arc<Presented>, Status> {
    let presented = bearer(extensions)?;
    match presented.standing(OffsetDateTime::now_utc(), pki.window) {
        Standing::Valid => {}
        Standing::NotYetValid => return Err(status(enrolment::clock_skew(&presented))),
        Standing::Renewable | Standing::Expired => return Err(status(enrolment::expired())),
    }
    match fleet.refuses(presented.gateway, &presented.serial) {
        None => Ok(presented),
        Some(why) => Err(status(gateways::refusal(why))),
    }
}

/// The status of an error, with its code in the metadata.
pub(crate) fn status(error: Error) -> Status {
    let code = match error.problem_code() {
        "unavailable" => "busy",
        code => code,
    };
    let mut status = if code == "superseded" { Status::aborted(error.public()) } else { Status::from(error) };
    status.metadata_mut().insert(CODE, MetadataValue::from_static(code));
    status
}
