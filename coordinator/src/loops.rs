//! What a coordinator does by itself, each as a named loop with one pass that tests can call.

mod dispatcher;
mod listener;
mod observer;
mod preemptor;
mod put_off;
mod reconciler;

pub(crate) use dispatcher::Dispatcher;
pub(crate) use listener::Listener;
pub(crate) use observer::Observer;
pub(crate) use put_off::PutOff;
pub(crate) use reconciler::Reconciler;

use tracing::{info, warn};

/// Says once when something begins to fail and once when it works again, however often it is tried.
#[derive(Debug)]
pub(crate) struct Health {
    what: &'static str,
    failing: bool,
}

impl Health {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, failing: false }
    }

    pub(crate) fn note<T, E: std::fmt::Display>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                if self.failing {
                    info!("{} works again", self.what);
                }
                self.failing = false;
                Some(value)
            }
            Err(error) => {
                if !self.failing {
                    warn!(error = %error, "{} fails; trying on", self.what);
                }
                self.failing = true;
                None
            }
        }
    }
}
