//! A router whose every route says what it needs.

use std::collections::HashMap;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};

use crate::access::rights::Right;

/// What each route needs, by its method and its template.
#[derive(Debug, Default)]
pub(crate) struct Rights(HashMap<String, Vec<(Method, Right)>>);

impl Rights {
    /// Whether a template is one of a route of HTTP.
    pub(crate) fn knows(&self, route: &str) -> bool {
        self.0.contains_key(route)
    }

    /// None if the route has no such method.
    pub(crate) fn of(&self, method: &Method, route: &str) -> Option<Right> {
        // Whoever may read may ask for the headers alone.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let of_route = self.0.get(route)?;
        of_route.iter().find(|(known, _)| known == method).map(|(_, right)| *right)
    }

    /// Every route.
    pub(super) fn all(&self) -> Vec<(Method, String, Right)> {
        let routes = self.0.iter().flat_map(|(route, methods)| {
            methods.iter().map(|(method, right)| (method.clone(), route.clone(), *right))
        });
        routes.collect()
    }
}

/// Routes, and what they need. A route can be added with its right only.
pub(super) struct Guarded<S> {
    router: Router<S>,
    rights: Rights,
}

impl<S: Clone + Send + Sync + 'static> Guarded<S> {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), rights: Rights::default() }
    }

    pub(super) fn get<T: 'static>(self, route: &str, right: Right, handler: impl Handler<T, S>) -> Self {
        self.add(Method::GET, route, right, get(handler))
    }

    pub(super) fn post<T: 'static>(self, route: &str, right: Right, handler: impl Handler<T, S>) -> Self {
        self.add(Method::POST, route, right, post(handler))
    }

    pub(super) fn add(mut self, method: Method, route: &str, right: Right, handler: MethodRouter<S>) -> Self {
        self.rights.0.entry(route.to_owned()).or_default().push((method, right));
        self.router = self.router.route(route, handler);
        self
    }

    pub(super) fn into_parts(self) -> (Router<S>, Rights) {
        (self.router, self.rights)
    }

    pub(super) fn with_state(self, state: S) -> Guarded<()> {
        Guarded { router: self.router.with_state(state), rights: self.rights }
    }
}

impl Guarded<()> {
    pub(super) fn merge(mut self, other: Self) -> Self {
        for (route, methods) in other.rights.0 {
            self.rights.0.entry(route).or_default().extend(methods);
        }
        self.router = self.router.merge(other.router);
        self
    }
}
