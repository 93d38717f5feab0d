//! Files of results: whole or a range of them, as the job wrote them, with the SHA-256 that was published.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bt_model::hex::hex;
use bt_model::percent;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tonic::Status;

use super::reply::Refused;
use crate::clients::Clients;
use crate::results::has_jobs;

/// What of a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    /// From the first byte to the last, both included.
    Range(u64, u64),
    /// None of the bytes that are asked for are there.
    Outside,
}

pub(super) async fn download(
    State(clients): State<Clients>,
    Path((sweep, job, path)): Path<(String, u32, String)>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let results = clients.results();
    let found = clients.find(&sweep).await?;
    has_jobs(&found, &[job])?;
    let file = results.published_file(&found, job, &path).await?;
    let tag = format!("\"{}\"", hex(&file.sha256));
    let value = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let digest = format!("sha-256=:{}:", STANDARD.encode(file.sha256));
    let about = [
        (header::ETAG, tag.clone()),
        (HeaderName::from_static("repr-digest"), digest),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_DISPOSITION, attachment(&path)),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ];
    if value(header::IF_NONE_MATCH).is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let is_same = value(header::IF_RANGE).is_none_or(|known| known == tag);
    let asked = value(header::RANGE)
        .filter(|_| is_same)
        .map_or(Asked::Whole, |range| Asked::of(range, file.plain_size));
    let (status, first, length) = match asked {
        Asked::Whole => (StatusCode::OK, 0, file.plain_size),
        Asked::Range(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Asked::Outside => {
            let range = format!("bytes */{}", file.plain_size);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, range)]).into_response());
        }
    };
    let pieces = results.plain_content(&file, first).await?;
    let mut response = (status, about, Body::from_stream(cut(pieces, length))).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Asked::Range(first, last) = asked
        && let Ok(range) = HeaderValue::try_from(format!("bytes {first}-{last}/{}", file.plain_size))
    {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    Ok(response)
}

impl Asked {
    /// As RFC 9110 has it (section 14). Several ranges, and what can't be read, ask for the whole file.
    fn of(range: &str, size: u64) -> Self {
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::Whole;
        };
        let number = |text: &str| text.trim().parse::<u64>();
        match (first.trim().is_empty(), last.trim().is_empty()) {
            (true, false) => match number(last) {
                Ok(0) => Self::Outside,
                Ok(_) if size == 0 => Self::Outside,
                Ok(count) => Self::Range(size.saturating_sub(count), size - 1),
                Err(_) => Self::Whole,
            },
            (false, is_open) => {
                let last = if is_open { Ok(u64::MAX) } else { number(last) };
                match (number(first), last) {
                    (Ok(first), Ok(last)) if first <= last && first < size => {
                        Self::Range(first, last.min(size.saturating_sub(1)))
                    }
                    (Ok(first), Ok(last)) if first <= last => Self::Outside,
                    _ => Self::Whole,
                }
            }
            (true, true) => Self::Whole,
        }
    }
}

/// So many bytes of what comes. Less is an error: a file that breaks off must not look whole.
fn cut(
    pieces: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    length: u64,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    stream::try_unfold((pieces.boxed(), length), |(mut pieces, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(piece) = pieces.next().await else {
            return Err(Status::data_loss(format!(
                "the file in the store is {left} bytes shorter than was published"
            )));
        };
        let mut piece = piece?;
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - piece.len() as u64;
        Ok(Some((piece, (pieces, left))))
    })
}

/// The name under which browsers and `curl -OJ` keep it: the last part of its path (RFC 6266).
pub(super) fn attachment(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    format!("attachment; filename*=UTF-8''{}", percent::encoded(name.as_bytes(), b""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let cases = [
            ("bytes=0-0", Asked::Range(0, 0)),
            ("bytes=2-5", Asked::Range(2, 5)),
            ("bytes=2-", Asked::Range(2, 9)),
            ("bytes=2-99", Asked::Range(2, 9)),
            ("bytes=-3", Asked::Range(7, 9)),
            ("bytes=-99", Asked::Range(0, 9)),
            ("bytes=10-", Asked::Outside),
            ("bytes=10-12", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=5-2", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=x-", Asked::Whole),
            ("lines=1-2", Asked::Whole),
        ];
        for (range, asked) in cases {
            assert_eq!(Asked::of(range, 10), asked, "{range}");
        }
        assert_eq!(Asked::of("bytes=0-", 0), Asked::Outside);
        assert_eq!(Asked::of("bytes=-1", 0), Asked::Outside);
    }

    proptest! {
        #[test]
        fn no_name_and_no_range_breaks_a_header(name in any::<String>(), range in "bytes=[0-9]{0,25}-[0-9]{0,25}|\\PC*") {
            let header = attachment(&name);
            prop_assert!(header.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{}", header);
            prop_assert!(!header.contains(['"', ';']) || header.matches(';').count() == 1);
            if let Asked::Range(from, to) = Asked::of(&range, 10) {
                prop_assert!(from <= to && to < 10);
            }
        }
    }

    #[test]
    fn names_survive_in_headers() {
        assert_eq!(attachment("a/b/stats.pkl"), "attachment; filename*=UTF-8''stats.pkl");
        assert_eq!(attachment("x\r\ny\".csv"), "attachment; filename*=UTF-8''x%0D%0Ay%22.csv");
    }

    #[tokio::test]
    async fn a_file_that_breaks_off_does_not_look_whole() {
        let pieces = |texts: &[&'static str]| stream::iter(texts.to_vec()).map(|text| Ok(Bytes::from(text)));
        let read = |pieces, length| async move {
            let read: Vec<_> = cut(pieces, length).collect().await;
            let is_whole = read.iter().all(Result::is_ok);
            let text: Vec<u8> = read.into_iter().flatten().flatten().collect();
            (String::from_utf8(text).unwrap(), is_whole)
        };
        assert_eq!(read(pieces(&["abc", "def"]).boxed(), 4).await, ("abcd".to_owned(), true));
        assert_eq!(read(pieces(&["abc", "def"]).boxed(), 6).await, ("abcdef".to_owned(), true));
        assert_eq!(read(pieces(&["abc"]).boxed(), 4).await, ("abc".to_owned(), false));
    }
}
