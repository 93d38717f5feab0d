//! What a file holds that a job left, without downloading it: a bounded part of it is read, and nothing in it runs.

mod image;
mod source;
mod words;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use bt_analysis::preview::{self, Sample};
use bt_model::hex::hex;
use bt_model::resources::ByteSize;
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tonic::Status;

pub(super) use self::image::send as send_image;
use self::source::Parts;
use super::job::{address, number_of};
use super::{Frame, rendered, shown_of};
use crate::clients::Clients;
use crate::http::reply::{Asked, Refused};
use crate::queue::StoredFile;
use crate::results::{Results, has_jobs};

/// Bytes that are read of a file's beginning.
const HEAD: u64 = 64 << 10;
/// Bytes of JSON that is laid out anew; more is shown as it is written.
const JSON: u64 = 256 << 10;
/// A pickle is followed if it is no larger.
const PICKLE: u64 = 16 << 20;
/// Tables that are looked into at once, each in bounded memory; others wait.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What a file is taken for, by how it begins and by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Empty,
    Png,
    Svg,
    Parquet,
    Pickle,
    Json,
    Csv,
    Text,
    Binary,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    pub(super) path: String,
}

#[derive(Template)]
#[template(path = "preview.html")]
struct Page {
    frame: Frame,
    id: String,
    sweep: String,
    number: u32,
    path: String,
    address: String,
    size: String,
    sha256: String,
    sentence: String,
    remarks: Vec<String>,
    is_image: bool,
    table: Option<Sample>,
    text: Option<String>,
}

/// What there is to show of a file.
#[derive(Default)]
struct Shown {
    sentence: String,
    remarks: Vec<String>,
    is_image: bool,
    table: Option<Sample>,
    text: Option<String>,
}

pub(super) async fn show(
    State(clients): State<Clients>,
    Path((sweep, number)): Path<(String, String)>,
    Asked(Wanted { path }): Asked<Wanted>,
) -> Response {
    let frame = Frame::new("../../../../", "job");
    shown_of(&clients, &sweep, frame.clone(), async {
        let number = number_of(&number)?;
        let results = clients.results();
        let found = clients.find(&sweep).await?;
        has_jobs(&found, &[number])?;
        let file = results.published_file(&found, number, &path).await?;
        // What can't be shown is no reason to show nothing: the file can be downloaded.
        let Shown { sentence, remarks, is_image, table, text } = match look(&results, &file, &path).await {
            Ok(shown) => shown,
            Err(status) => Shown {
                sentence: "It can't be shown.".to_owned(),
                remarks: vec![status.message().to_owned()],
                ..Shown::default()
            },
        };
        rendered(&Page {
            frame,
            id: found.id.to_string(),
            sweep: found.name,
            number,
            address: address(&path),
            path,
            size: ByteSize(file.plain_size).to_string(),
            sha256: hex(&file.sha256),
            sentence,
            remarks,
            is_image,
            table,
            text,
        })
    })
    .await
}

impl Shape {
    pub(super) fn of(path: &str, head: &[u8]) -> Self {
        let name = path.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match head {
            [] => Self::Empty,
            _ if image::is_png(head) => Self::Png,
            _ if ends(&[".parquet", ".pq"]) || head.starts_with(b"PAR1") => Self::Parquet,
            _ if ends(&[".pkl", ".pickle", ".joblib"]) || matches!(head, [0x80, 2..=5, ..]) => Self::Pickle,
            _ if ends(&[".svg"]) && image::is_svg(head) => Self::Svg,
            _ if words::is_text(head) => match () {
                () if ends(&[".json"]) => Self::Json,
                () if ends(&[".csv", ".tsv"]) => Self::Csv,
                () => Self::Text,
            },
            // A table in an old encoding is one all the same.
            _ if ends(&[".csv", ".tsv"]) && !head.contains(&0) => Self::Csv,
            _ => Self::Binary,
        }
    }
}

/// Whether a file with this name and size may be a picture that a page shows among others.
pub(super) fn is_shown_as_image(path: &str, size: Option<u64>) -> bool {
    let name = path.to_ascii_lowercase();
    let most = if name.ends_with(".png") { image::PNG } else { image::SVG };
    (name.ends_with(".png") || name.ends_with(".svg")) && size.is_some_and(|size| size > 0 && size <= most)
}

async fn look(results: &Results, file: &StoredFile, path: &str) -> Result<Shown, Status> {
    let head = results.plain_part(file, 0, HEAD.min(file.plain_size)).await?;
    let is_whole = file.plain_size <= HEAD;
    let sentence = |sentence: &str| Shown { sentence: sentence.to_owned(), ..Shown::default() };
    Ok(match Shape::of(path, &head) {
        Shape::Empty => sentence("It is empty."),
        Shape::Png => png(results, file, &head).await?,
        Shape::Svg if file.plain_size > image::SVG => Shown {
            text: Some(words::beginning(&head)),
            ..sentence(&format!("An SVG of more than {}: its text begins like this.", ByteSize(image::SVG)))
        },
        Shape::Svg => Shown { is_image: true, ..sentence("An SVG, shown as a picture: nothing in it runs.") },
        Shape::Parquet => parquet(results, file).await?,
        Shape::Pickle => pickle(results, file, &head).await?,
        Shape::Json => json(results, file, head).await?,
        Shape::Csv => {
            let table = preview::csv(&head, is_whole);
            let told = match (is_whole, table.rows.len()) {
                (true, rows) if rows < preview::ROWS => "The whole table.".to_owned(),
                (_, rows) => format!("The first {rows} rows."),
            };
            Shown { remarks: table.remarks.clone(), table: Some(table), ..sentence(&told) }
        }
        Shape::Text => {
            Shown { text: Some(words::beginning(&head)), ..sentence(words::how_much(&head, is_whole)) }
        }
        Shape::Binary => {
            Shown { text: Some(words::bytes(&head)), ..sentence("It is no text; its first bytes are these.") }
        }
    })
}

async fn png(results: &Results, file: &StoredFile, head: &[u8]) -> Result<Shown, Status> {
    let mut shown = Shown::default();
    let Some((width, height)) = image::measure(head) else {
        shown.sentence = "It begins as a PNG does, but says no size: it is broken.".to_owned();
        return Ok(shown);
    };
    shown.sentence = format!("A PNG of {width} x {height} points.");
    if let Some(why) = image::too_large(file.plain_size, width, height) {
        shown.remarks.push(why);
        return Ok(shown);
    }
    let end = results.plain_part(file, file.plain_size.saturating_sub(12), 12.min(file.plain_size)).await?;
    if !image::is_end(&end) {
        shown.remarks.push("It does not end as a PNG does: it may be cut off.".to_owned());
    }
    shown.is_image = true;
    Ok(shown)
}

async fn parquet(results: &Results, file: &StoredFile) -> Result<Shown, Status> {
    let _one_of_few = AT_ONCE.acquire().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let source = Parts::open(results, file).await?;
    // The library panics at some files that are broken.
    let read = tokio::task::spawn_blocking(move || preview::parquet(source)).await;
    let read = read.unwrap_or_else(|_| Err("it is broken".to_owned()));
    Ok(match read {
        Ok(table) => {
            let all = table.rows_in_all.map_or_else(String::new, |rows| format!(" of {rows}"));
            Shown {
                sentence: format!("A Parquet file: the first {} rows{all}.", table.rows.len()),
                remarks: table.remarks.clone(),
                table: Some(table),
                ..Shown::default()
            }
        }
        Err(why) => Shown {
            sentence: "It can't be read as a Parquet file.".to_owned(),
            remarks: vec![format!("The reason: {why}.")],
            ..Shown::default()
        },
    })
}

async fn pickle(results: &Results, file: &StoredFile, head: &[u8]) -> Result<Shown, Status> {
    let end = results.plain_part(file, file.plain_size.saturating_sub(1), 1).await?;
    let (what, remark) = words::pickle(head, &end);
    let mut shown = Shown {
        sentence: format!(
            "{what}, {}. It is not loaded: opening a pickle runs its code.",
            ByteSize(file.plain_size)
        ),
        remarks: remark.into_iter().collect(),
        ..Shown::default()
    };
    if file.plain_size > PICKLE {
        shown.remarks.push(format!(
            "What it would import is looked for in pickles of {} at most; btctl results inspect takes larger ones.",
            ByteSize(PICKLE)
        ));
        return Ok(shown);
    }
    let _one_of_few = AT_ONCE.acquire().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let all = results.plain_part(file, 0, file.plain_size).await?;
    let found = tokio::task::spawn_blocking(move || bt_pickles::inspect(&all[..])).await;
    match found.map_err(|error| Status::internal(error.to_string()))? {
        Ok(found) => shown.text = Some(words::imports(&found)),
        Err(why) => shown.remarks.push(format!("What it would import is not known: {why}.")),
    }
    Ok(shown)
}

async fn json(results: &Results, file: &StoredFile, head: Bytes) -> Result<Shown, Status> {
    let is_whole = file.plain_size <= JSON;
    let text = match is_whole && file.plain_size > HEAD {
        true => results.plain_part(file, 0, file.plain_size).await?,
        false => head,
    };
    if !is_whole {
        let sentence = format!("JSON of more than {}: its text begins like this.", ByteSize(JSON));
        return Ok(Shown { sentence, text: Some(words::beginning(&text)), ..Shown::default() });
    }
    Ok(match words::laid_out(&text) {
        Ok((text, is_all)) => {
            let sentence = if is_all { "JSON, laid out." } else { "JSON, laid out; its end is left out." };
            Shown { sentence: sentence.to_owned(), text: Some(text), ..Shown::default() }
        }
        Err(why) => Shown {
            sentence: "It is shown as it is written.".to_owned(),
            remarks: vec![why],
            text: Some(words::beginning(&text)),
            ..Shown::default()
        },
    })
}

/// Why a picture is not sent.
fn no_picture(path: &str, why: &str) -> Refused {
    Status::failed_precondition(format!("{path} is not sent as a picture: {why}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_begins_with_before_what_it_is_called() {
        let png = b"\x89PNG\r\n\x1a\n....";
        let cases: [(&str, &[u8], Shape); 13] = [
            ("a.txt", b"", Shape::Empty),
            ("a.txt", png, Shape::Png),
            ("a.png", b"<script>", Shape::Text),
            ("a.svg", b"\xef\xbb\xbf<?xml?><svg>", Shape::Svg),
            ("a.svg", b"<html>", Shape::Text),
            ("a.svg", &[0x80, 4, 0x95, b'<', b's', b'v', b'g'], Shape::Pickle),
            ("a", b"PAR1", Shape::Parquet),
            ("A.PARQUET", b"x", Shape::Parquet),
            ("x/stats.pkl", b"(dp0\n.", Shape::Pickle),
            ("a.json", b"{}", Shape::Json),
            ("a.csv", b"caf\xe9;1", Shape::Csv),
            ("a.csv", b"a\0b", Shape::Binary),
            ("train.log", "é\u{1b}[31m".as_bytes(), Shape::Text),
        ];
        for (path, head, shape) in cases {
            assert_eq!(Shape::of(path, head), shape, "{path}");
        }
    }

    #[test]
    fn only_pictures_of_a_size_are_shown_among_others() {
        assert!(is_shown_as_image("a/equity.PNG", Some(1_000)));
        for (path, size) in
            [("a.png", None), ("a.png", Some(0)), ("a.png", Some(1 << 30)), ("a.pkl", Some(10))]
        {
            assert!(!is_shown_as_image(path, size), "{path} {size:?}");
        }
    }
}
