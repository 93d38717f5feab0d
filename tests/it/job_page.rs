//! A job's page: its attempts over time, what it says point by point, and what it left, looked at without a download.

use std::fs::{self, File};
use std::sync::Arc;

use bt_tests::http::{Answer, curl, get};
use bt_tests::{Cluster, wait_until};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

#[track_caller]
fn page(cluster: &Cluster, path: &str) -> String {
    let answer = get(cluster, path);
    let text = answer.text();
    assert_eq!(answer.status, 200, "{path}: {text}");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}: {answer:?}");
    assert!(text.matches("<script").count() == 1 && !text.contains(" style="), "{path}: {text}");
    text
}

/// What printf of a shell makes these bytes of.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

/// 1 point by 1, with all its checksums.
fn png() -> Vec<u8> {
    let parts: [&[u8]; 4] = [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89",
        b"\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff",
        b"\x89\x99=\x1d",
        b"\0\0\0\0IEND\xaeB`\x82",
    ];
    parts.concat()
}

fn parquet(rows: usize) -> Vec<u8> {
    let schema = "message trades { required int64 day; required double price; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(zstd).build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let days: Vec<i64> = (0..rows).map(|row| row as i64).collect();
    column.typed::<Int64Type>().write_batch(&days, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let prices: Vec<f64> = (0..rows).map(|row| 100.0 + row as f64 / 4.0).collect();
    column.typed::<DoubleType>().write_batch(&prices, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.into_inner().unwrap()
}

#[test]
fn what_a_job_left_is_looked_at_without_a_download() {
    let cluster = Cluster::start();
    let (table, picture) = (octal(&parquet(50)), octal(&png()));
    let script = format!(
        r#"cd /results; mkdir plots
        echo '{{"sharpe": 1.5, "series": {{"equity": [["2020-01-01", 100], ["2020-01-02", 120], ["2020-01-03", 90]]}}}}' > metrics.json
        printf '{table}' > trades.parquet; printf '{table}' | head -c 300 > cut.parquet
        printf '{picture}' > plots/equity.png; printf '{picture}' | head -c 60 > plots/cut.png
        echo '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><rect width="9" height="9"/></svg>' > plots/map.svg
        echo '<script>alert(1)</script>' > fake.png; echo '<html></html>' > fake.svg
        printf 'cposix\nsystem\n(Vid\ntR.' > bad.pkl; printf '\200\004\225x.' > stats.pkl; printf '\200\004\225x' > cut.pkl
        printf 'a;b\n1;<b>x</b>\n' > table.csv; echo '{{"a": [1, {{"b": null}}]}}' > some.json; echo '{{"a": NaN}}' > nan.json
        printf 'one\033[31m\ntwo\n' > run.log; : > empty.txt; printf '\000\001\002' > raw.bin"#
    );
    // It is heard of while it runs: the beginning and the end of a short job may be told together.
    let sweep = cluster.submit_waiting(&["--name", "left"], &script);
    cluster.wait_attempts("running", 1);
    cluster.open_gate();
    cluster.wait_ended(&sweep);
    let shown = page(&cluster, "/sweeps/left/jobs/0");
    for text in [
        "Equity from 2020-01-01 to 2020-01-03, 3 points; the deepest drawdown is -25.0 %",
        "Drawdown (percent)",
        "<rect class=\"phase running\"",
        "href=\"0/preview?path=plots/equity.png\"",
        &format!("api/sweeps/{sweep}/jobs/0/outputs/trades.parquet\">download"),
        "src=\"0/image?path=plots/equity.png\"",
        "btctl rerun left/0",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let cases: &[(&str, &[&str])] = &[
        (
            "trades.parquet",
            &[
                "the first 20 rows of 50",
                "<th>day <span class=\"kind\">int64</span></th>",
                "<td>19</td><td>104.75</td>",
            ],
        ),
        ("cut.parquet", &["It can&#39;t be read as a Parquet file", "it may be cut off"]),
        ("plots/equity.png", &["A PNG of 1 x 1 points", "src=\"image?path=plots/equity.png\""]),
        ("plots/cut.png", &["it may be cut off"]),
        ("plots/map.svg", &["nothing in it runs", "src=\"image?path=plots/map.svg\""]),
        ("fake.png", &["The whole text", "&#60;script&#62;alert(1)"]),
        ("fake.svg", &["&#60;html&#62;"]),
        ("stats.pkl", &["A pickle of protocol 4, 5 B", "not loaded: opening a pickle runs its code"]),
        ("bad.pkl", &["Loading it would import:", "dangerous  posix.system  used 1, called 1"]),
        ("cut.pkl", &["it may be cut off", "What it would import is not known"]),
        (
            "table.csv",
            &["The whole table", "<th>a</th><th>b</th>", "<td>1</td><td>&#60;b&#62;x&#60;/b&#62;</td>"],
        ),
        ("some.json", &["JSON, laid out", "      &#34;b&#34;: null"]),
        ("nan.json", &["not JSON as the standard has it", "NaN"]),
        ("run.log", &["The whole text", "one\u{fffd}[31m\ntwo"]),
        ("empty.txt", &["It is empty"]),
        ("raw.bin", &["It is no text", "00 01 02"]),
    ];
    for (path, texts) in cases {
        let shown = page(&cluster, &format!("/sweeps/left/jobs/0/preview?path={path}"));
        for text in *texts {
            assert!(shown.contains(text), "{path}: {text}: {shown}");
        }
    }
    let missing = get(&cluster, "/sweeps/left/jobs/0/preview?path=nothing.csv");
    assert!(missing.status == 404 && missing.text().contains("has no output 0/nothing.csv"), "{missing:?}");
    pictures_are_pictures(&cluster);
    only_the_beginning_is_read(&cluster, &sweep);
}

fn pictures_are_pictures(cluster: &Cluster) {
    let image = |path: &str, flags: &[&str]| -> Answer {
        curl(cluster, &format!("/sweeps/left/jobs/0/image?path={path}"), flags)
    };
    let sent = image("plots/equity.png", &[]);
    assert_eq!((sent.status, sent.kind(), &sent.body), (200, "image/png", &png()));
    let tag = sent.header("etag").to_owned();
    assert_eq!(image("plots/equity.png", &["-H", &format!("If-None-Match: {tag}")]).status, 304);
    let drawn = image("plots/map.svg", &[]);
    assert_eq!((drawn.status, drawn.kind()), (200, "image/svg+xml"));
    for answer in [sent, drawn] {
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    for path in ["fake.png", "fake.svg", "table.csv", "stats.pkl", "empty.txt"] {
        assert_eq!(image(path, &[]).status, 409, "{path} is no picture");
    }
    assert_eq!(image("../../etc/passwd", &[]).status, 404);
}

/// A file whose end is missing in the store is still shown, since only its beginning is read.
fn only_the_beginning_is_read(cluster: &Cluster, sweep: &str) {
    let long = cluster.submit(
        &["--name", "long"],
        "i=0; while [ $i -lt 9000 ]; do echo \"line $i of a long log\"; i=$((i + 1)); done > /results/long.log",
    );
    cluster.wait_ended(&long);
    let stored = |name: &str, sweep: &str, file: &str| {
        cluster.store().join(format!("{name}-{}/0/1/{file}", &sweep[..8]))
    };
    let file = File::options().write(true).open(stored("long", &long, "long.log")).unwrap();
    file.set_len(70_000).unwrap();
    let shown = page(cluster, "/sweeps/long/jobs/0/preview?path=long.log");
    assert!(shown.contains("Its first lines") && shown.contains("line 199 of"), "{shown}");
    assert!(!shown.contains("line 200 of"), "{shown}");
    // What is gone is told in words, and the rest of the job's page stays.
    fs::remove_file(stored("left", sweep, "metrics.json")).unwrap();
    let told = page(cluster, "/sweeps/left/jobs/0/preview?path=metrics.json");
    assert!(told.contains("It can&#39;t be shown") && told.contains("metrics.json"), "{told}");
    assert!(page(cluster, "/sweeps/left/jobs/0").contains("trades.parquet"));
}

#[test]
fn attempts_are_drawn_over_time_and_metrics_on_the_way_as_lines() {
    let cluster = Cluster::start();
    let script = r#"[ $BT_ATTEMPT = 1 ] && { sleep 1; exit 3; }
        say() { echo "$1" > /results/.next; mv /results/.next /results/progress; }
        say '{"fraction": 0.1, "metrics": {"equity": 100, "sharpe": 0.1}}'
        while [ ! -e /results/more ]; do sleep 0.05; done
        say '{"fraction": 0.2, "metrics": {"equity": 110, "sharpe": 0.2}}'
        while [ ! -e /results/end ]; do sleep 0.05; done"#;
    let sweep = cluster.submit(&["--name", "tried", "--retries", "1"], script);
    let points = |wanted: usize| {
        wait_until("it says how far it is", || {
            let said = get(&cluster, "/api/sweeps/tried/jobs/0/progress").json();
            (said["points"].as_array().unwrap().len() == wanted).then_some(())
        });
    };
    points(1);
    cluster.touch(&sweep, "/results/more");
    points(2);
    let shown = page(&cluster, "/sweeps/tried/jobs/0");
    for text in ["equity, sharpe on the way", "hx-trigger", "attempt 1 on agent: running for", "exit(3)"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert_eq!(shown.matches("<rect class=\"phase running\"").count(), 2, "{shown}");
    assert_eq!(shown.matches("class=\"line\"").count(), 2, "{shown}");
    cluster.touch(&sweep, "/results/end");
    cluster.wait_ended(&sweep);
    let shown = page(&cluster, "/sweeps/tried/jobs/0");
    assert!(shown.contains("It succeeded on agent") && !shown.contains("hx-trigger"), "{shown}");
    let history = cluster.json(&["show", "tried/0"])["history"].clone();
    let times: Vec<_> = ["leased", "started", "stopped", "ended"]
        .iter()
        .filter_map(|key| history[1][*key].as_str())
        .collect();
    // That it stopped is not known where its end was told in the same breath.
    assert!(times.len() >= 3 && times.is_sorted(), "{history}");
}
