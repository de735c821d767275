//! From the name of a target to addresses that were checked: the connection goes to one of exactly these, and nobody asks
//! a second time in between. Must not connect.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::Guard;

/// The system's resolver.
#[derive(Debug)]
pub(super) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the URL's; the client puts it in for this one.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<_> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Any resolver, with every answer checked.
pub(super) struct Guarded {
    names: Arc<dyn Resolve>,
    guard: Guard,
}

impl Guarded {
    pub(super) fn new(names: Arc<dyn Resolve>, guard: Guard) -> Self {
        Self { names, guard }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (asked, guard) = (self.names.resolve(name), self.guard.clone());
        Box::pin(async move {
            let found: Vec<_> = asked.await?.collect();
            guard.check(found.iter().map(|address| address.ip()))?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
