//! What each call comes to.

use opgate_bus::Listing;
use opgate_telemetry::Protocol;

use super::Problem;
use super::json;
use super::reply::Answer;
use super::request::{Asked, Form};
use crate::frontend::{Inner, Verb};
use crate::proto::{ListRequest, NameRequest, WaitRequest};

impl Inner {
    /// Gets, cancels or deletes.
    pub(super) async fn one_json(
        &self,
        verb: Verb,
        name: String,
        asked: &Asked,
        form: &Form,
    ) -> Result<Answer, Problem> {
        let bindings = &self.bindings;
        let binding = match verb {
            Verb::Get => &bindings.get,
            Verb::Cancel => &bindings.cancel,
            Verb::Delete => &bindings.delete,
        };
        let NameRequest { .. } = asked.message(binding, &name)?;
        if verb == Verb::Get {
            form.check(&self.types, json::OPERATION)?;
        }
        let answer = match verb {
            Verb::Get => asked.deadline.bound(self.find(&name)).await.and_then(|snapshot| {
                json::operation(self, &snapshot, &form.parameters)
                    .map(|shown| Answer::shown(shown, None))
            }),
            // Boxed, so that the many reads do not carry the room that a change needs.
            Verb::Cancel | Verb::Delete => {
                let changed = Box::pin(asked.deadline.bound(self.change(verb, &name))).await;
                changed.map(|durability| Answer::done(durability, form.parameters.alt))
            }
        };
        answer.map_err(|error| Problem::of(error, name))
    }

    /// Answers with the latest state at the latest when the caller still hears it.
    pub(super) async fn wait_json(
        &self,
        name: String,
        asked: Asked,
        form: &Form,
    ) -> Result<Answer, Problem> {
        let bindings = &self.bindings;
        let binding = if asked.has_body() { &bindings.wait_body } else { &bindings.wait };
        let WaitRequest { timeout, .. } = asked.message(binding, &name)?;
        form.check(&self.types, json::OPERATION)?;
        let limit = self.wait_limit(timeout, asked.deadline)?;
        drop(asked);
        let answer = match self.wait_for(Protocol::Http, &name, limit).await {
            Ok(snapshot) => json::operation(self, &snapshot, &form.parameters)
                .map(|shown| Answer::shown(shown, None)),
            Err(error) => Err(error),
        };
        answer.map_err(|error| Problem::of(error, name))
    }

    /// Lists a page.
    pub(super) async fn list_json(
        &self,
        scope: &str,
        asked: &Asked,
        form: &Form,
    ) -> Result<Answer, Problem> {
        let request: ListRequest = asked.message(&self.bindings.list, scope)?;
        form.check(&self.types, json::LIST_RESPONSE)?;
        let unreachable = self.unreachable(&request);
        let instance = self.instances.with_list(scope);
        let request = ListRequest { name: scope.to_owned(), ..request };
        let fit = |listing: &Listing| json::fit(self, listing, &unreachable, &form.parameters);
        let page = asked.deadline.bound(self.list_page(instance, request, fit)).await?;
        Ok(Answer::read(page))
    }
}
