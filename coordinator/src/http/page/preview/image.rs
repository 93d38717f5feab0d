//! Pictures that a job left, sent so that a browser takes them for nothing else and runs nothing in them.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bt_model::hex::hex;
use bt_model::resources::ByteSize;
use tokio::sync::Semaphore;
use tonic::Status;

use super::{Shape, Wanted, no_picture};
use crate::clients::Clients;
use crate::http::reply::{Asked, Refused};
use crate::results::has_jobs;

/// Bytes of the largest pictures that are shown.
pub(super) const PNG: u64 = 8 << 20;
pub(super) const SVG: u64 = 2 << 20;
/// Points of the largest picture: a small file may hold many.
const POINTS: u64 = 64_000_000;
/// Pictures that are sent at once; others wait.
static AT_ONCE: Semaphore = Semaphore::const_new(8);

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const END: &[u8] = b"\0\0\0\0IEND\xaeB`\x82";
/// Bytes in which an SVG's element begins.
const BEGINNING: usize = 4 << 10;
/// Nothing in a picture runs or is fetched, wherever it is opened.
const POLICY: &str = "default-src 'none'; sandbox";

pub(super) fn is_png(head: &[u8]) -> bool {
    head.starts_with(SIGNATURE)
}

pub(super) fn is_svg(head: &[u8]) -> bool {
    let head = &head[..head.len().min(BEGINNING)];
    let text = String::from_utf8_lossy(head);
    text.trim_start_matches('\u{feff}').trim_start().starts_with('<') && text.contains("<svg")
}

/// A PNG's width and height; none if it has no head.
pub(super) fn measure(head: &[u8]) -> Option<(u32, u32)> {
    let size = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    (is_png(head) && head.get(12..16)? == b"IHDR").then_some((size(16)?, size(20)?))
}

pub(super) fn is_end(end: &[u8]) -> bool {
    end == END
}

/// Why a PNG is too large to be shown.
pub(super) fn too_large(size: u64, width: u32, height: u32) -> Option<String> {
    if size > PNG {
        return Some(format!("It has {}; pictures of {} at most are shown.", ByteSize(size), ByteSize(PNG)));
    }
    let points = u64::from(width) * u64::from(height);
    (points > POINTS).then(|| format!("It has {points} points; pictures of {POINTS} at most are shown."))
}

pub(in super::super) async fn send(
    State(clients): State<Clients>,
    Path((sweep, number)): Path<(String, u32)>,
    Asked(Wanted { path }): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let results = clients.results();
    let found = clients.find(&sweep).await?;
    has_jobs(&found, &[number])?;
    let file = results.published_file(&found, number, &path).await?;
    let tag = format!("\"{}\"", hex(&file.sha256));
    let about = |kind: &'static str| {
        [
            (header::CONTENT_TYPE, kind.to_owned()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin".to_owned()),
            (header::CACHE_CONTROL, "private, no-cache".to_owned()),
            (header::ETAG, tag.clone()),
        ]
    };
    let _one_of_few = AT_ONCE.acquire().await.map_err(|error| Status::unavailable(error.to_string()))?;
    if file.plain_size > PNG {
        return Err(no_picture(&path, &format!("it has more than {}", ByteSize(PNG))));
    }
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let head = results.plain_part(&file, 0, file.plain_size.min(super::HEAD)).await?;
    let kind = match Shape::of(&path, &head) {
        Shape::Png => {
            let (width, height) = measure(&head).ok_or_else(|| no_picture(&path, "it has no size"))?;
            if let Some(why) = too_large(file.plain_size, width, height) {
                return Err(no_picture(&path, &why));
            }
            "image/png"
        }
        Shape::Svg if file.plain_size <= SVG => "image/svg+xml",
        _ => return Err(no_picture(&path, "it is neither a PNG nor a small SVG")),
    };
    if known == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, about(kind)).into_response());
    }
    let whole = match head.len() as u64 == file.plain_size {
        true => head,
        false => results.plain_part(&file, 0, file.plain_size).await?,
    };
    Ok((about(kind), Body::from(whole)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_says_how_large_it_is() {
        let head = [SIGNATURE, b"\0\0\0\rIHDR", &640_u32.to_be_bytes(), &480_u32.to_be_bytes()].concat();
        assert_eq!(measure(&head), Some((640, 480)));
        for end in 0..head.len() {
            assert_eq!(measure(&head[..end]), None, "{end}");
        }
        assert_eq!(too_large(1_000, 640, 480), None);
        assert!(too_large(1_000, 100_000, 100_000).is_some_and(|why| why.contains("points")));
        assert!(too_large(PNG + 1, 1, 1).is_some_and(|why| why.contains("8 MiB")));
    }
}
