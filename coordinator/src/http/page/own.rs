//! Whether a form was sent by a page of this coordinator, and not by one of another site that the user looks at.

use axum::http::{HeaderMap, header};
use tonic::Status;

use crate::http::reply::Refused;

/// Browsers say where a form comes from: by `Sec-Fetch-Site`, which a proxy passes on, or by `Origin`, which is compared with
/// the address that was asked for.
pub(in crate::http) fn is_sent_by_own_page(headers: &HeaderMap) -> Result<(), Refused> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = match value("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            let origin = value(header::ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
            let host = value(header::HOST.as_str());
            origin.is_some_and(|(_, origin)| Some(origin) == host)
        }
    };
    match is_own {
        true => Ok(()),
        false => Err(Status::permission_denied(
            "only a page of this coordinator may do that; programs ask the API. Behind a proxy, pass the header `Host` on",
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_sites_are_refused() {
        let own = |pairs: &[(&'static str, &str)]| {
            let headers =
                pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
            is_sent_by_own_page(&headers.collect::<HeaderMap>()).is_ok()
        };
        assert!(own(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("origin", "http://a:1"), ("host", "a:1")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        assert!(!own(&[("sec-fetch-site", "none")]));
        assert!(own(&[("origin", "http://a:1"), ("host", "a:1")]));
        assert!(!own(&[("origin", "http://b:1"), ("host", "a:1")]));
        assert!(!own(&[("origin", "null"), ("host", "a:1")]));
        assert!(!own(&[("host", "a:1")]));
    }
}
