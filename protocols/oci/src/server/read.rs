//! Work requests, read.

use std::sync::Arc;

use opgate_bus::{Caller, Rendered, Rendering, Snapshot};
use opgate_core::{Error, ErrorKind, Operation, OperationId};
use opgate_rpc::loss;

use super::{Answered, Inner, Refused, pace, reply};
use crate::wire::dialect::Dialect;
use crate::wire::ocid;
use crate::wire::work_request::{self, Extent, Named};

impl Inner {
    /// The operation of an OCID; what is no OCID of ours names nothing.
    pub(super) fn id(ocid: &str) -> Result<OperationId, Error> {
        ocid::read(ocid).ok_or_else(Error::not_found)
    }

    /// Answers a get at once, where no disk is needed for it.
    pub(super) fn resident(
        &self,
        caller: &Caller,
        dialect: Dialect,
        id: OperationId,
    ) -> Option<Answered> {
        let found = self.bus.peek(caller, id)?;
        Some(found.map_err(Refused::from).and_then(|found| self.got(dialect, &found)))
    }

    pub(super) async fn get(&self, caller: &Caller, dialect: Dialect, id: OperationId) -> Answered {
        let found = self.bus.get(caller, id).await?;
        self.got(dialect, &found)
    }

    fn got(&self, dialect: Dialect, found: &Arc<Snapshot>) -> Answered {
        let Rendering { bytes, lost } = self.whole(dialect, found)?;
        let mut response = reply::json(bytes);
        loss::put(lost, response.headers_mut());
        reply::etag(&mut response, found.version);
        if !found.is_done() {
            let typical = self.bus.typical(&found.routed.route);
            reply::wait(&mut response, pace::of(found, typical));
        }
        Ok(response)
    }

    /// The object of a get. The one that most clients ask for is kept with the operation, unless what
    /// was kept may name a tenancy that is another one now.
    fn whole(&self, dialect: Dialect, found: &Arc<Snapshot>) -> Result<Rendering, Error> {
        let shown = |text: Vec<u8>, operation: &Operation| {
            let lost = work_request::lost(operation, dialect) | operation.lost;
            Rendering { bytes: text.into(), lost }
        };
        if dialect != Dialect::Identity || !self.compartments.is_settled(found) {
            let text = self.written(found, dialect, Extent::Whole)?;
            return Ok(shown(text, found));
        }
        let mut problem = None;
        let kept = found.rendered(Rendered::Oci, |operation| {
            match self.written(operation, dialect, Extent::Whole) {
                Ok(text) => shown(text, operation),
                Err(error) => {
                    problem = Some(error);
                    Rendering::default()
                }
            }
        });
        match problem {
            Some(problem) => Err(problem),
            None => Ok(kept.clone()),
        }
    }

    pub(super) fn written(
        &self,
        operation: &Operation,
        dialect: Dialect,
        extent: Extent,
    ) -> Result<Vec<u8>, Error> {
        let named =
            Named { id: self.ocid(operation), compartment: self.compartments.of(operation) };
        work_request::write(operation, &named, dialect, extent).map_err(|error| {
            Error::new(ErrorKind::Internal, "a work request could not be written")
                .with_source(error)
        })
    }
}
