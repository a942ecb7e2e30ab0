//! Cancel, delete, complete, redrive.

use opgate_core::Error;
use opgate_rpc::wire::Reply;

use crate::api::Inner;
use crate::api::client as proto;
use crate::api::map::request;

impl Inner {
    pub(super) async fn cancel(
        &self,
        name: &str,
        reason: &str,
        version: u64,
    ) -> Result<Reply, Error> {
        let receipt = self.bus.cancel(&self.caller, self.subject(name, version)?, reason).await?;
        Ok(self.change_reply(&receipt))
    }

    pub(super) async fn delete(&self, name: &str, version: u64) -> Result<Reply, Error> {
        let receipt = self.bus.remove(&self.caller, self.subject(name, version)?).await?;
        Ok(Reply::done(receipt.durability))
    }

    pub(super) async fn complete(
        &self,
        name: &str,
        outcome: Option<proto::Outcome>,
        version: u64,
    ) -> Result<Reply, Error> {
        let subject = self.subject(name, version)?;
        let outcome = request::outcome(outcome)?;
        let receipt = self.bus.finish(&self.caller, subject, outcome).await?;
        Ok(self.change_reply(&receipt))
    }

    pub(super) async fn redrive(&self, name: &str, version: u64) -> Result<Reply, Error> {
        let receipt = self.bus.redrive(&self.caller, self.subject(name, version)?).await?;
        Ok(self.change_reply(&receipt))
    }
}
