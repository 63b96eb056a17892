//! How much each tenant may do at once, and whose turn it is.
//!
//! Operations that cannot begin at once wait in a line of their tenant's; the lines are served in
//! turn, so that a tenant with a thousand operations holds up another's by one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use ctrlz_core::tenancy::{Quotas, TenantName};
use rustix::process::{Resource, getrlimit};
use tokio::sync::oneshot;

use crate::problem::Problem;

/// How many operations may run at once, of all tenants together: each has a thread here and
/// processes below.
const RUNNING: usize = 256;
/// How many operations of one tenant may be under way or wait for that, where there are descriptors for them.
const PENDING: usize = 1024;
/// Each has up to eight descriptors: for so many that the process may have, there is one operation of a tenant, so
/// that it has a quarter of them.
const DESCRIPTORS: u64 = 32;
const MINUTE: Duration = Duration::from_secs(60);

/// The lines.
#[derive(Debug, Clone)]
pub(crate) struct Quota {
    lines: Arc<Mutex<Lines>>,
    /// How many operations of one tenant may be pending.
    pending: usize,
}

impl Default for Quota {
    fn default() -> Self {
        Self { lines: Arc::default(), pending: pending(getrlimit(Resource::Nofile).current) }
    }
}

/// How many operations of one tenant may be pending in a process that may have so many descriptors.
fn pending(descriptors: Option<u64>) -> usize {
    let share = descriptors.map_or(u64::MAX, |descriptors| descriptors / DESCRIPTORS);
    usize::try_from(share).unwrap_or(usize::MAX).clamp(8, PENDING)
}

#[derive(Debug, Default)]
struct Lines {
    running: usize,
    tenants: BTreeMap<TenantName, Line>,
    /// Tenants in whose line somebody waits; the first one is served next.
    order: VecDeque<TenantName>,
}

#[derive(Debug, Default)]
struct Line {
    running: usize,
    most: Option<u32>,
    /// Operations that were let begin and have not ended.
    pending: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    /// When operations of the last minute began.
    begun: VecDeque<Instant>,
}

impl Line {
    fn has_room(&self) -> bool {
        self.most.is_none_or(|most| self.running < most as usize)
    }
}

/// The right to run one operation, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    quota: Quota,
    tenant: TenantName,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.quota.lines();
        lines.running = lines.running.saturating_sub(1);
        if let Some(line) = lines.tenants.get_mut(&self.tenant) {
            line.running = line.running.saturating_sub(1);
        }
        let next = lines.next(&self.quota);
        drop(lines);
        // Whoever gave up waiting drops the turn, which comes here again.
        for (sender, turn) in next {
            let _ = sender.send(turn);
        }
    }
}

/// An operation that was let begin, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    quota: Quota,
    tenant: TenantName,
}

impl Admitted {
    /// Waits until it is its turn.
    pub(crate) async fn turn(&self) -> Result<Turn, Problem> {
        let waiting = self.quota.enter(&self.tenant);
        waiting.await.map_err(|error| Problem::internal(error.to_string()))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(line) = self.quota.lines().tenants.get_mut(&self.tenant) {
            line.pending = line.pending.saturating_sub(1);
        }
    }
}

impl Quota {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations run, and how many wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let lines = self.lines();
        (lines.running, lines.tenants.values().map(|line| line.waiting.len()).sum())
    }

    /// How many operations of a tenant run.
    pub(crate) fn running(&self, tenant: &TenantName) -> usize {
        self.lines().tenants.get(tenant).map_or(0, |line| line.running)
    }

    /// Lets one more operation begin. It enters the line once nothing but its turn is missing.
    ///
    /// # Errors
    /// When the tenant began too many within a minute, or too many of its operations have not ended.
    pub(crate) fn admit(
        &self,
        tenant: &TenantName,
        quotas: &Quotas,
        now: Instant,
    ) -> Result<Admitted, Problem> {
        let mut lines = self.lines();
        let line = lines.tenants.entry(tenant.clone()).or_default();
        line.most = quotas.running;
        if line.pending >= self.pending {
            let title = format!("{} operations of this tenant have not ended yet", line.pending);
            return Err(too_many(title, 1));
        }
        line.pass(quotas.per_minute, now)?;
        line.pending += 1;
        Ok(Admitted { quota: self.clone(), tenant: tenant.clone() })
    }

    /// Enters the tenant's line; the turn comes when it is there.
    fn enter(&self, tenant: &TenantName) -> oneshot::Receiver<Turn> {
        let mut lines = self.lines();
        let line = lines.tenants.entry(tenant.clone()).or_default();
        let (sender, receiver) = oneshot::channel();
        line.waiting.push_back(sender);
        if !lines.order.contains(tenant) {
            lines.order.push_back(tenant.clone());
        }
        let next = lines.next(self);
        drop(lines);
        for (sender, turn) in next {
            let _ = sender.send(turn);
        }
        receiver
    }
}

impl Line {
    fn pass(&mut self, most: Option<u32>, now: Instant) -> Result<(), Problem> {
        let Some(most) = most else {
            self.begun.clear();
            return Ok(());
        };
        while self.begun.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.begun.pop_front();
        }
        if self.begun.len() >= most as usize {
            let oldest = self.begun.front().map_or(MINUTE, |at| MINUTE - now.duration_since(*at));
            let title = format!("this tenant may begin {most} operations a minute");
            return Err(too_many(title, oldest.as_secs() + 1));
        }
        self.begun.push_back(now);
        Ok(())
    }
}

fn too_many(title: String, seconds: u64) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", title).retry_after(seconds)
}

impl Lines {
    /// Those whose turn it is.
    fn next(&mut self, quota: &Quota) -> Vec<(oneshot::Sender<Turn>, Turn)> {
        let mut next = Vec::new();
        // Each tenant in line is looked at once more after the last one was served.
        let mut passed_over = 0;
        while self.running < RUNNING && passed_over < self.order.len() {
            let Some(name) = self.order.pop_front() else { break };
            let Some(line) = self.tenants.get_mut(&name) else { continue };
            if !line.has_room() {
                self.order.push_back(name);
                passed_over += 1;
                continue;
            }
            if let Some(sender) = line.waiting.pop_front() {
                line.running += 1;
                self.running += 1;
                next.push((sender, Turn { quota: quota.clone(), tenant: name.clone() }));
                passed_over = 0;
            }
            if !line.waiting.is_empty() {
                self.order.push_back(name);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantName {
        name.parse().expect("a name")
    }

    impl Quota {
        async fn turn(
            &self,
            tenant: &TenantName,
            quotas: &Quotas,
            now: Instant,
        ) -> Result<Turn, Problem> {
            self.admit(tenant, quotas, now)?.turn().await
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    }

    #[test]
    fn the_lines_are_served_in_turn() {
        runtime().block_on(async {
            let quota = Quota::default();
            let one = Quotas { running: Some(1), ..Quotas::default() };
            let (a, now) = (tenant("a"), Instant::now());
            let first = quota.turn(&a, &one, now).await.expect("a turn");
            let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
            for index in 0..3 {
                let (quota, one, a, told) = (quota.clone(), one.clone(), a.clone(), told.clone());
                tokio::spawn(async move {
                    let turn = quota.turn(&a, &one, now).await.expect("a turn");
                    told.send(format!("a{index}")).expect("told");
                    drop(turn);
                });
                tokio::task::yield_now().await;
            }
            // Another tenant waits for none of them.
            let other = quota.turn(&tenant("b"), &one, now).await.expect("a turn");
            assert_eq!(quota.load(), (2, 3));
            drop(other);
            drop(first);
            for index in 0..3 {
                assert_eq!(order.recv().await, Some(format!("a{index}")));
            }
            assert_eq!(quota.load(), (0, 0));
        });
    }

    #[test]
    fn who_gives_up_waiting_holds_up_nobody() {
        runtime().block_on(async {
            let quota = Quota::default();
            let one = Quotas { running: Some(1), ..Quotas::default() };
            let (a, now) = (tenant("a"), Instant::now());
            let first = quota.turn(&a, &one, now).await.expect("a turn");
            let gave_up = tokio::spawn({
                let (quota, one, a) = (quota.clone(), one.clone(), a.clone());
                async move { quota.turn(&a, &one, now).await.map(drop) }
            });
            tokio::task::yield_now().await;
            gave_up.abort();
            let _ = gave_up.await;
            drop(first);
            quota.turn(&a, &one, now).await.map(drop).expect("a turn");
            assert_eq!(quota.load(), (0, 0));
        });
    }

    #[test]
    fn one_tenant_has_a_quarter_of_the_descriptors() {
        assert_eq!([None, Some(1 << 20), Some(32_768)].map(pending), [PENDING; 3]);
        assert_eq!([Some(1024), Some(4096), Some(64)].map(pending), [32, 128, 8]);
        let quota = Quota { pending: 2, ..Quota::default() };
        let (a, any, now) = (tenant("a"), Quotas::default(), Instant::now());
        let admit = |tenant: &TenantName| quota.admit(tenant, &any, now);
        let (first, _second) = (admit(&a).expect("one"), admit(&a).expect("another"));
        assert_eq!(admit(&a).expect_err("too many").status(), StatusCode::TOO_MANY_REQUESTS);
        admit(&tenant("b")).expect("another's");
        drop(first);
        admit(&a).expect("one that ended makes room");
    }

    #[test]
    fn more_a_minute_than_allowed_are_told_when_to_come_again() {
        runtime().block_on(async {
            let quota = Quota::default();
            let two = Quotas { per_minute: Some(2), ..Quotas::default() };
            let (a, now) = (tenant("a"), Instant::now());
            for _ in 0..2 {
                drop(quota.turn(&a, &two, now).await.expect("a turn"));
            }
            let refused = quota.turn(&a, &two, now).await.map(drop).expect_err("too many");
            assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
            drop(quota.turn(&tenant("b"), &two, now).await.expect("another's"));
            drop(quota.turn(&a, &two, now + MINUTE).await.expect("a minute later"));
        });
    }
}
