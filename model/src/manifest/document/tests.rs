use crate::manifest::{Format, Manifest};
use crate::parameters::{Parameters, text_of};

fn read(format: Format, text: &str) -> Result<Manifest, String> {
    let draft = Manifest::parse(text.as_bytes(), format, "s");
    draft.and_then(|draft| draft.finish()).map_err(|error| error.to_string())
}

/// What the jobs of a one-axis matrix are given, and the JSON of their parameters.
fn given(format: Format, text: &str) -> (Vec<String>, Vec<String>) {
    let manifest = read(format, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    // Between client, coordinator and agent it travels as JSON.
    let sent = Manifest::from_json(&manifest.to_json()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let jobs: Vec<Parameters> = sent.expand().unwrap().iter().collect();
    let jobs: Vec<Parameters> =
        jobs.iter().map(|job| Parameters::from_json(&job.to_json()).unwrap()).collect();
    (
        jobs.iter().map(|job| job.iter().map(|(_, value)| text_of(value)).collect()).collect(),
        jobs.iter().map(Parameters::to_json).collect(),
    )
}

#[track_caller]
fn refused(format: Format, text: &str, place: &str, part: &str) {
    let error = match read(format, text) {
        Ok(manifest) => panic!("{text:?} is taken: {}", manifest.to_json()),
        Err(error) => error,
    };
    assert!(error.starts_with(place) && error.contains(part), "{text:?}: {error}");
}

#[test]
fn plain_words_of_yaml_reach_the_job_byte_for_byte() {
    let words = [
        "000001",
        "600519",
        "0x10",
        "0o7",
        "08",
        "+5",
        "1_000",
        "2023_01",
        "1e5",
        "1E5",
        "1e-05",
        "1e400",
        "-1e999",
        ".5",
        "5.",
        "1.10",
        "100.00",
        "-0",
        "-0.0",
        ".inf",
        "-.inf",
        ".nan",
        "inf",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "true",
        "True",
        "FALSE",
        "2024-01-05",
        "2024-01-05T12:30:00Z",
        "12:30:00",
        "190:20:30",
        "9223372036854775807",
        "9223372036854775808",
        "12345678901234567890123",
        "0.30000000000000004",
        "0.12345678901234567890123",
        "1.2.3",
        "a b",
        "=",
        "1 000",
        "0b1",
        "1e",
        "5%",
        "Ünïcode",
    ];
    let list = format!("image: x\nmatrix:\n  v:\n{}", words.map(|word| format!("    - {word}\n")).concat());
    assert_eq!(given(Format::Yaml, &list).0, words);
    let flow = format!("image: x\nmatrix: {{v: [{}]}}\n", words.join(", "));
    assert_eq!(given(Format::Yaml, &flow).0, words);
    let rows = words.map(|word| format!("  - {{v: {word}}}\n")).concat();
    let manifest = read(Format::Yaml, &format!("image: x\nparams:\n{rows}")).unwrap();
    let rows: Vec<String> =
        manifest.expand().unwrap().iter().map(|job| text_of(job.get("v").unwrap())).collect();
    assert_eq!(rows, words);
}

#[test]
fn numbers_are_numbers_and_all_else_is_text() {
    let text = "image: x\nmatrix: {v: [000001, 5, 1.10, 1e5, true, True, '5', \"1.10\", !!str 7, !!int \"8\", !!float 2.50]}\n";
    let json =
        ["\"000001\"", "5", "1.10", "1e5", "true", "\"True\"", "\"5\"", "\"1.10\"", "\"7\"", "8", "2.50"];
    assert_eq!(given(Format::Yaml, text).1, json.map(|value| format!("{{\"v\":{value}}}")));
}

#[test]
fn texts_keep_their_space_and_lines() {
    let text = "image: x\nmatrix:\n  v:\n    - \"  a\"\n    - 'b  '\n    - |\n      one\n        two\n    - >-\n      folded\n      text\n    - \"tab\\there\"\n    - \"\"\n";
    assert_eq!(given(Format::Yaml, text).0, ["  a", "b  ", "one\n  two\n", "folded text", "tab\there", ""]);
    let tagged = "image: x\nparams: [{a: !!str , b: !!str ~, c: ! 5}]\n";
    let job = read(Format::Yaml, tagged).unwrap().expand().unwrap().get(0).unwrap();
    assert_eq!(job.to_json(), r#"{"a":"","b":"~","c":"5"}"#);
}

#[test]
fn anchors_and_merges_copy_what_was_written() {
    let text = "image: x\nenv: &e {A: 1.10, B: 007}\nmatrix: {v: [&one 000001, *one2]}\n";
    refused(Format::Yaml, text, "s:3:", "anchor");
    let text = "image: x\nparams:\n  - &base {a: 000001, b: 1.10}\n  - {<<: *base, b: 2.20}\n  - *base\n";
    let manifest = read(Format::Yaml, text).unwrap();
    let rows: Vec<String> = manifest.expand().unwrap().iter().map(|job| job.identity()).collect();
    assert_eq!(
        rows,
        [
            r#"[["a","000001"],["b",1.10]]"#,
            r#"[["a","000001"],["b",2.20]]"#,
            r#"[["a","000001"],["b",1.10]]"#
        ]
    );
    refused(Format::Yaml, "a: &a [*a]\n", "s:1:", "inside of what it refers to");
    let bomb = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let alias = format!("*a{}, ", level - 1).repeat(8);
        format!("{text}a{level}: &a{level} [{alias}]\n")
    });
    refused(Format::Yaml, &bomb, "s:", "the limits");
}

#[test]
fn what_has_no_meaning_is_refused_where_it_stands() {
    for (text, place, part) in [
        ("matrix: {v: [null]}", "s:2:14", "nothing"),
        ("matrix: {v: [~]}", "s:2:14", "nothing"),
        ("matrix:\n  v:\n  - 1\n  -\n", "s:5:", "nothing"),
        ("matrix: {v: [!!binary aGk=]}", "s:2:", "!!binary has no meaning"),
        ("matrix: {v: [!mine x]}", "s:2:", "!mine has no meaning"),
        ("matrix: {v: [!!int x]}", "s:2:", "not what its tag !!int says"),
        ("matrix: {v: [!!int 007]}", "s:2:", "not what its tag !!int says"),
        ("matrix: {v: [!!bool 1]}", "s:2:", "not what its tag !!bool says"),
        ("matrix: {v: [1], v: [2]}", "s:2:18", "`v` stands twice"),
        ("matrix: {[a]: [1]}", "s:2:", "a key is a list"),
        ("matrix: {: [1]}", "s:2:", "a key is empty"),
        ("matrix: {1: [1]}", "s:2:", "\"1\" is not a name"),
        ("matrix: {v: [\"a\\0b\"]}", "s:2:", "NUL"),
        ("matrix: {v: {from: 000001, to: 000010}}", "s:2:", "000001"),
        ("retries: 03", "s:2:10", "03"),
        ("---\nimage: y", "s:3:1", "a second document begins here"),
    ] {
        refused(Format::Yaml, &format!("image: x\n{text}\n"), place, part);
    }
}

#[test]
fn documents_may_have_marks_around_them() {
    for text in [
        "---\nimage: x\n---\n",
        "image: x\n...\n",
        "\u{feff}image: x\n",
        "---\n---\nimage: x\n",
        "%YAML 1.2\n---\nimage: x\n",
    ] {
        assert_eq!(read(Format::Yaml, text).map(|manifest| manifest.image).as_deref(), Ok("x"), "{text:?}");
    }
    assert!(read(Format::Json, "\u{feff}{\"image\": \"x\"}").is_ok());
    assert!(read(Format::Toml, "\u{feff}image = \"x\"\n").is_ok());
    let utf16: Vec<u8> = "\u{feff}image: x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = Manifest::parse(&utf16, Format::Yaml, "s").unwrap_err().to_string();
    assert!(error.contains("UTF-16") && error.contains("save"), "{error}");
}

#[test]
fn ranges_are_exact_and_their_ends_are_numbers() {
    for (range, expected) in [
        ("{from: 0.1, to: 0.5, step: 0.1}", &["0.1", "0.2", "0.3", "0.4", "0.5"][..]),
        ("{from: .1, to: .3, step: .1}", &["0.1", "0.2", "0.3"]),
        ("{from: 1.10, to: 1.20, step: 0.05}", &["1.1", "1.15", "1.2"]),
        ("{from: 1e-7, to: 3e-7, step: 1e-7}", &["0.0000001", "0.0000002", "0.0000003"]),
        ("{from: 1, to: 2, step: 0.5}", &["1.0", "1.5", "2.0"]),
        (
            "{from: 9223372036854775806, to: 9223372036854775807}",
            &["9223372036854775806", "9223372036854775807"],
        ),
        ("{from: 2024-01-31, to: 2024-03-31, step: 1mo}", &["2024-01-31", "2024-02-29", "2024-03-31"]),
    ] {
        assert_eq!(
            given(Format::Yaml, &format!("image: x\nmatrix: {{v: {range}}}\n")).0,
            expected,
            "{range}"
        );
    }
}

#[test]
fn json_keeps_its_digits_or_is_refused() {
    let text = r#"{"image": "x", "matrix": {"v": [1.10, 1e5, 1E5, -0, 0.12345678901234567890123, "5", true, "  a"]}}"#;
    let (given, json) = given(Format::Json, text);
    assert_eq!(given, ["1.10", "1e5", "1E5", "-0", "0.12345678901234567890123", "5", "true", "  a"]);
    assert_eq!(json[5], r#"{"v":"5"}"#);
    let number = |number: &str| format!("{{\n \"image\": \"x\",\n \"matrix\": {{\"v\": [1, {number}]}}}}");
    for large in ["12345678901234567890123", "9223372036854775808", "1e400", "-1e400", "1e-400"] {
        refused(Format::Json, &number(large), "s:3:22", "write it as a text, in quotes");
    }
    refused(Format::Json, "{\"image\": \"x\",\n \"a\\\"b\": 1}", "s:2:2", "unknown key");
    refused(Format::Json, "{\"image\": \"x\", \"image\": \"y\"}", "s:1:16", "`image` stands twice");
    refused(Format::Json, "{\"image\": 007}", "s:1:", "number");
}

#[test]
fn toml_numbers_are_written_as_json_writes_them() {
    let axis = |values: &str| format!("image = \"x\"\n[matrix]\nv = [{values}]\n");
    let mixed = "1.10, 1e5, -0, \"000001\", true, 2024-01-05, 2024-01-05 12:30:00, 12:30:00";
    assert_eq!(
        given(Format::Toml, &axis(mixed)).0,
        ["1.10", "1e5", "-0", "000001", "true", "2024-01-05", "2024-01-05 12:30:00", "12:30:00"]
    );
    for (number, part) in [
        ("1_000", "write 1000, or \"1_000\" for the text"),
        ("0x10", "write 16, or \"0x10\""),
        ("+5", "write 5, or \"+5\""),
        ("inf", "not a finite number"),
        ("9223372036854775808", "too large for 64 bits"),
        ("000001", ""),
    ] {
        refused(Format::Toml, &axis(number), "s:3:", part);
    }
}
