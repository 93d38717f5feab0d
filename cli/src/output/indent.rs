//! JSON over several lines. What it says stays as it is, spelling of numbers included, which reading it would change.

/// Takes JSON in one line, and puts each key and item on a line of its own.
pub(super) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut signs = json.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' => {
                out.push('"');
                // Up to the closing quote; a sign behind a backslash closes nothing.
                while let Some(sign) = signs.next() {
                    out.push(sign);
                    match sign {
                        '"' => break,
                        '\\' => out.extend(signs.next()),
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(sign);
                match signs.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        begin_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                begin_line(&mut out, depth);
                out.push(sign);
            }
            ',' => {
                out.push(',');
                begin_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            sign => out.push(sign),
        }
    }
    out
}

fn begin_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_laid_out_as_serde_does_and_keeps_numbers() {
        let json = r#"{"a":[1.10,{"b, \"{\\":"[x:y]","c":{}},[],[[null]]],"d":-0.0}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(indented(json), format!("{value:#}"));
        assert_eq!(indented(r#"{"a":1e5}"#), "{\n  \"a\": 1e5\n}");
        assert_eq!(indented("[]"), "[]");
    }
}
