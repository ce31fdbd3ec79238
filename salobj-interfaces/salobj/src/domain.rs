//! The process as SAL sees it: who we are, which bus we are on, which components we have open.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::env::Env;
use crate::sal_info::SalInfo;
use crate::tai::Clock;
use crate::transport::Transport;

/// What all controllers and remotes of a process share: bus, clock, settings, process id, default identity, and the set
/// of open components. Cheap to clone.
///
/// A stand-alone domain writes as `user@host`; the domain of a CSC writes as the CSC (`Test:7`), also through the
/// remotes that are made with it.
#[derive(Debug, Clone)]
pub struct Domain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Arc<dyn Transport>,
    clock: Clock,
    env: Env,
    origin: i64,
    default_identity: Mutex<String>,
    infos: Mutex<Vec<Weak<SalInfo>>>,
}

impl Domain {
    /// A domain with this process's id as origin and `user@host` as identity.
    pub fn new(transport: Arc<dyn Transport>, clock: Clock, env: Env) -> Domain {
        Domain::with_origin(transport, clock, env, i64::from(std::process::id()))
    }

    /// A domain with another origin: a second "process" within this one (tests, simulators).
    pub fn with_origin(transport: Arc<dyn Transport>, clock: Clock, env: Env, origin: i64) -> Domain {
        let inner = Inner {
            transport,
            clock,
            env,
            origin,
            default_identity: Mutex::new(user_at_host()),
            infos: Mutex::default(),
        };
        Domain { inner: Arc::new(inner) }
    }

    /// Another domain on the same bus with the same origin and a default identity of its own: nothing is shared with
    /// this one's components (the duplicate check uses it).
    pub fn sibling(&self) -> Domain {
        let i = &self.inner;
        Domain::with_origin(i.transport.clone(), i.clock.clone(), i.env.clone(), i.origin)
    }

    /// The bus.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.inner.transport
    }

    /// The clock that stamps, waits and time limits use.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Settings from the environment.
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// `private_origin` of all that is written: the process id.
    pub fn origin(&self) -> i64 {
        self.inner.origin
    }

    /// Identity that components opened from now on write as.
    pub fn default_identity(&self) -> String {
        self.inner.default_identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the identity of components opened from now on; a controller sets its own name.
    pub fn set_default_identity(&self, identity: &str) {
        identity.clone_into(&mut self.inner.default_identity.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn add(&self, info: &Arc<SalInfo>) {
        let mut infos = self.inner.infos.lock().unwrap_or_else(PoisonError::into_inner);
        infos.retain(|i| i.strong_count() > 0);
        infos.push(Arc::downgrade(info));
    }

    /// All open components of the domain.
    pub(crate) fn infos(&self) -> Vec<Arc<SalInfo>> {
        let infos = self.inner.infos.lock().unwrap_or_else(PoisonError::into_inner);
        infos.iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes all components of the domain.
    pub async fn close(&self) {
        futures::future::join_all(self.infos().iter().map(|info| info.close())).await;
    }
}

/// `user@host` of this process: the user as Python's `getpass.getuser` finds it, the host with its domain if
/// `/etc/hosts` knows one.
pub fn user_at_host() -> String {
    let user = ["LOGNAME", "USER", "LNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_else(whoami::username);
    let host = whoami::fallible::hostname().unwrap_or_else(|_| "localhost".to_owned());
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    format!("{user}@{}", full_name(&host, &hosts))
}

/// The first name with a dot on the line of `/etc/hosts` that has `host`; else `host`.
fn full_name(host: &str, hosts: &str) -> String {
    if host.contains('.') {
        return host.to_owned();
    }
    hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().split_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|names| names.contains(&host))
        .find_map(|names| names.iter().find(|n| n.contains('.')).map(|n| (*n).to_owned()))
        .unwrap_or_else(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_name_is_completed_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n# 1.2.3.4 pod.no pod\n10.0.0.5 pod.ns.svc.cluster.local pod\n";
        assert_eq!(full_name("pod", hosts), "pod.ns.svc.cluster.local");
        assert_eq!(full_name("other", hosts), "other");
        assert_eq!(full_name("a.b", hosts), "a.b");
    }

    #[test]
    fn identity_has_user_and_host() {
        let identity = user_at_host();
        let (user, host) = identity.split_once('@').unwrap();
        assert!(!user.is_empty() && !host.is_empty());
    }
}
