//! Random histories of operations and workers, against a model of what must come of them.

use std::time::Duration;

use opgate_bus::core::{Code, ErrorKind, Failure, OperationId, Outcome, Report, State};
use opgate_bus::{Ask, Pull};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tempfile::TempDir;

use super::support::{Frozen, Setup, Shop, ask, look, pass, poll_once};

/// Seconds a lease lasts: what the backend has it, and what workers ask for.
const USUAL: u64 = 4;
const ASKED: u64 = 3;
const ATTEMPTS: u32 = 2;
const CONCURRENCY: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Start,
    /// A worker asks for so many.
    Lease(usize),
    /// A worker asks, and goes at once.
    Abandon,
    /// A worker, by any lease there ever was.
    Report(usize, Option<u64>),
    Complete(usize, bool),
    Release(usize, u64),
    Cancel(usize),
    FinishByHand(usize),
    Pass(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Start),
        6 => (1..4_usize).prop_map(Step::Lease),
        1 => Just(Step::Abandon),
        3 => (any::<usize>(), proptest::option::of(1..8_u64)).prop_map(|(n, by)| Step::Report(n, by)),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(n, well)| Step::Complete(n, well)),
        2 => (any::<usize>(), 0..4_u64).prop_map(|(n, rest)| Step::Release(n, rest)),
        2 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::FinishByHand),
        3 => (1..4_u64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum At {
    Queued,
    Resting(u64),
    /// By the lease of this epoch, until this second.
    Held(u32, u64),
    Ended(Outcome),
}

#[derive(Debug)]
struct Modelled {
    id: OperationId,
    at: At,
    /// The last epoch that was seen.
    epoch: u32,
    expired: u32,
    canceling: bool,
}

#[derive(Debug)]
struct Token {
    text: String,
    operation: usize,
    epoch: u32,
}

struct History<'a> {
    dir: &'a TempDir,
    shop: Shop,
    now: u64,
    operations: Vec<Modelled>,
    tokens: Vec<Token>,
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failed(code: Code, text: &str) -> Outcome {
    Outcome::Failed(Failure::new(code, text))
}

fn open(dir: &TempDir) -> Shop {
    let pull = Pull {
        concurrency: CONCURRENCY,
        lease: seconds(USUAL),
        attempts: ATTEMPTS,
        ..Pull::default()
    };
    Setup { pull, ..Setup::at(dir) }.open()
}

impl<'a> History<'a> {
    fn new(dir: &'a TempDir) -> Self {
        Self { dir, shop: open(dir), now: 0, operations: Vec::new(), tokens: Vec::new() }
    }

    fn count(&self, holds: impl Fn(&At) -> bool) -> usize {
        self.operations.iter().filter(|operation| holds(&operation.at)).count()
    }

    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Start => {
                let id = self.shop.start().await;
                let new = Modelled { id, at: At::Queued, epoch: 0, expired: 0, canceling: false };
                self.operations.push(new);
            }
            Step::Lease(max) => self.lease(max).await?,
            Step::Abandon => {
                // Seldom it is answered at the first look: then it is as if nobody had it.
                if let Some(Ok(leased)) = poll_once(self.shop.bus.lease(look())).await {
                    for leased in leased {
                        self.shop.bus.release(&leased.token, None, None).await.unwrap();
                    }
                }
            }
            Step::Report(n, extend) => self.report(n, extend).await?,
            Step::Complete(n, well) => self.complete(n, well).await?,
            Step::Release(n, rest) => self.release(n, rest).await?,
            Step::Cancel(n) => self.cancel(n).await?,
            Step::FinishByHand(n) => self.finish(n).await?,
            Step::Pass(time) => {
                pass(seconds(time)).await;
                self.now += time;
                self.catch_up().await?;
            }
            Step::Restart => self.restart().await,
        }
        Ok(())
    }

    /// What is there is leased, at most as much as asked for and as there is room for.
    async fn lease(&mut self, max: usize) -> Result<(), TestCaseError> {
        let room = CONCURRENCY.saturating_sub(self.count(|at| matches!(at, At::Held(..))));
        let most = self.count(|at| *at == At::Queued).min(room).min(max);
        // Where there is one, it comes, however late the dispatcher is.
        let ask = if most == 0 { look() } else { ask() };
        let ask = Ask { max, length: Some(seconds(ASKED)), ..ask };
        let leased = self.shop.bus.lease(ask).await.unwrap();
        prop_assert!(leased.len() <= most, "{} of {most}", leased.len());
        prop_assert_eq!(leased.is_empty(), most == 0);
        for leased in leased {
            let id = leased.snapshot.id;
            let n = self.operations.iter().position(|operation| operation.id == id).unwrap();
            let operation = &mut self.operations[n];
            prop_assert_eq!(&operation.at, &At::Queued, "{} is not there to be leased", id);
            let epoch = leased.snapshot.epoch.0;
            prop_assert!(epoch > operation.epoch, "{epoch} after {}", operation.epoch);
            (operation.epoch, operation.at) = (epoch, At::Held(epoch, self.now + ASKED));
            self.tokens.push(Token { text: leased.token, operation: n, epoch });
        }
        Ok(())
    }

    /// A lease, and whether it holds.
    fn pick(&self, n: usize) -> Option<(&Token, bool)> {
        let token = self.tokens.get(n.checked_rem(self.tokens.len())?)?;
        let at = &self.operations[token.operation].at;
        Some((token, matches!(at, At::Held(epoch, _) if *epoch == token.epoch)))
    }

    async fn report(&mut self, n: usize, extend: Option<u64>) -> Result<(), TestCaseError> {
        let Some((token, holds)) = self.pick(n) else { return Ok(()) };
        let report = Report { native_state: Some("busy".into()), ..Report::default() };
        let told = self.shop.bus.report(&token.text, report, extend.map(seconds)).await;
        prop_assert_eq!(told.is_ok(), holds, "{:?}", told);
        match told {
            Ok(held) => {
                let operation = token.operation;
                prop_assert_eq!(held.snapshot.is_canceling(), self.operations[operation].canceling);
                let epoch = token.epoch;
                let until = self.now + extend.unwrap_or(ASKED);
                self.operations[operation].at = At::Held(epoch, until);
            }
            Err(error) => prop_assert!(error.message.starts_with("the lease is over: "), "{error}"),
        }
        Ok(())
    }

    async fn complete(&mut self, n: usize, well: bool) -> Result<(), TestCaseError> {
        let Some((token, holds)) = self.pick(n) else { return Ok(()) };
        let outcome =
            if well { Outcome::Succeeded(None) } else { failed(Code::Internal, "it broke") };
        let (operation, epoch) = (token.operation, token.epoch);
        let now = self.shop.get(self.operations[operation].id).await;
        // The repeat of what was acknowledged before.
        let known = now.outcome.as_ref() == Some(&outcome) && now.epoch.0 == epoch;
        let ended = self.shop.bus.complete(&token.text, outcome.clone()).await;
        prop_assert_eq!(ended.is_ok(), holds || known, "{:?}", ended);
        match ended {
            Ok(receipt) => {
                prop_assert_eq!(receipt.repeated, known);
                self.operations[operation].at = At::Ended(outcome);
            }
            Err(error) => prop_assert!(error.message.starts_with("the lease is over: "), "{error}"),
        }
        Ok(())
    }

    async fn release(&mut self, n: usize, rest: u64) -> Result<(), TestCaseError> {
        let Some((token, holds)) = self.pick(n) else { return Ok(()) };
        let n = token.operation;
        let back = self.shop.bus.release(&token.text, Some(seconds(rest)), None).await;
        prop_assert_eq!(back.is_ok(), holds, "{:?}", back);
        if back.is_ok() && self.operations[n].canceling {
            self.ends(n, Outcome::Canceled(None)).await?;
        } else if back.is_ok() {
            let at = if rest == 0 { At::Queued } else { At::Resting(self.now + rest) };
            self.operations[n].at = at;
        }
        Ok(())
    }

    async fn cancel(&mut self, n: usize) -> Result<(), TestCaseError> {
        let Some(n) = n.checked_rem(self.operations.len()) else { return Ok(()) };
        let id = self.operations[n].id;
        self.shop.bus.cancel(&self.shop.caller, id, "enough").await.unwrap();
        match self.operations[n].at {
            At::Queued | At::Resting(_) => self.ends(n, Outcome::Canceled(None)).await?,
            At::Held(..) => self.operations[n].canceling = true,
            At::Ended(_) => {}
        }
        Ok(())
    }

    async fn finish(&mut self, n: usize) -> Result<(), TestCaseError> {
        let Some(n) = n.checked_rem(self.operations.len()) else { return Ok(()) };
        let by_hand = failed(Code::Aborted, "by hand");
        let (bus, id) = (&self.shop.bus, self.operations[n].id);
        let ended = bus.finish(&self.shop.caller, id, by_hand.clone()).await;
        match &self.operations[n].at {
            At::Ended(outcome) if *outcome != by_hand => {
                prop_assert_eq!(ended.unwrap_err().kind, ErrorKind::Conflict);
            }
            At::Queued | At::Resting(_) | At::Held(..) | At::Ended(_) => {
                prop_assert!(ended.is_ok());
                self.operations[n].at = At::Ended(by_hand);
            }
        }
        Ok(())
    }

    /// Awaits the end of an operation that nobody holds.
    async fn ends(&mut self, n: usize, outcome: Outcome) -> Result<(), TestCaseError> {
        let ended = self.shop.ended(self.operations[n].id).await;
        prop_assert_eq!(ended.outcome.as_ref(), Some(&outcome));
        self.operations[n].at = At::Ended(outcome);
        Ok(())
    }

    /// What time has made of leases and rests.
    async fn catch_up(&mut self) -> Result<(), TestCaseError> {
        for n in 0..self.operations.len() {
            let operation = &mut self.operations[n];
            match operation.at {
                At::Resting(until) if until <= self.now => operation.at = At::Queued,
                At::Held(_, until) if until <= self.now => {
                    operation.expired += 1;
                    operation.at = At::Queued;
                    if operation.canceling {
                        self.ends(n, Outcome::Canceled(None)).await?;
                    } else if operation.expired >= ATTEMPTS {
                        let ended = self.shop.ended(operation.id).await;
                        let failure = ended.outcome.as_ref().and_then(Outcome::failure);
                        let reason = failure.and_then(|failure| failure.reason.as_deref());
                        prop_assert_eq!(reason, Some("lease_expired"));
                        self.operations[n].at = At::Ended(ended.outcome.clone().unwrap());
                    }
                }
                At::Queued | At::Resting(_) | At::Held(..) | At::Ended(_) => {}
            }
        }
        Ok(())
    }

    /// What ran is presumed held by who had it last.
    async fn restart(&mut self) {
        self.shop.bus.drain().await;
        // The directory is another's only once nobody has it.
        let elsewhere = tempfile::tempdir().unwrap();
        drop(std::mem::replace(&mut self.shop, open(&elsewhere)));
        drop(std::mem::replace(&mut self.shop, open(self.dir)));
        for operation in &mut self.operations {
            let now = self.shop.get(operation.id).await;
            operation.expired = 0;
            if now.state == State::Running {
                operation.epoch = now.epoch.0;
                operation.at = At::Held(now.epoch.0, self.now + USUAL);
            }
        }
        // No time passes before the dispatcher has taken them up.
        let held = self.count(|at| matches!(at, At::Held(..)));
        self.shop.leased_out(held).await;
    }

    /// Carries everything out that has not ended.
    async fn wind_up(&mut self) -> Result<(), TestCaseError> {
        self.step(Step::Pass(USUAL + 8)).await?;
        while self.count(|at| *at == At::Queued) > 0 {
            self.lease(1).await?;
            self.complete(self.tokens.len() - 1, true).await?;
        }
        self.restart().await;
        for operation in &self.operations {
            let kept = self.shop.get(operation.id).await;
            let ended = kept.outcome.clone().map(At::Ended);
            prop_assert_eq!(ended.as_ref(), Some(&operation.at));
            prop_assert!(kept.epoch.0 >= operation.epoch);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn one_worker_at_a_time_and_every_operation_ends_as_it_was_told(steps in vec(step(), 1..60)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let _frozen = Frozen::new();
            let dir = tempfile::tempdir().unwrap();
            let mut history = History::new(&dir);
            for step in steps {
                history.step(step).await?;
            }
            history.wind_up().await
        })?;
    }
}
