use super::*;
use crate::manifest::Format;

fn render(word: &str) -> Result<String, String> {
    let parameters =
        Parameters::from_json(r#"{"fast": 5, "mode": "a b", "on": true}"#).map_err(|e| e.to_string())?;
    let template = Template::compile("command.1".to_owned(), 0, word).map_err(|error| error.to_string())?;
    template.render(&parameters, &mut JOB_BUDGET.clone()).map_err(|error| error.to_string())
}

#[test]
fn text_of_other_languages_stays_as_it_is() {
    for text in [
        "echo ${#x} #} ok",
        "pa{#ss#}word",
        "for x in \"${a[@]}\"; do echo ${#a[@]} ${x%%.*} ${x#*/}; done",
        "awk '{print $1} END {printf \"{%d}\\n\", NR}'",
        "{% percent %} and {%} and %} and }} and } }",
        "date +{%Y-%m-%d}",
        "{#- comment -#}\n",
        "  spaces, and a newline at the end\n",
        "# {# not a comment #}",
        "f'{x}' {\"a\": {\"b\": {}}}",
    ] {
        assert_eq!(render(text).as_deref(), Ok(text));
    }
}

#[test]
fn expressions_in_braces_are_replaced_and_nothing_else() {
    let renders = |word: &str, expected: &str| assert_eq!(render(word).as_deref(), Ok(expected), "{word}");
    renders("--fast={{ fast }}", "--fast=5");
    renders("{{fast}}{{mode}} {# {{ on }} #}\n", "5a b {# true #}\n");
    renders("awk '{print ${{ fast }}}'", "awk '{print $5}'");
    renders("${{fast}}", "$5");
    renders("{{ '{{' }}.Name}}", "{{.Name}}");
    renders("{{ '{{.Name}}' }}", "{{.Name}}");
    renders("{% raw %}{{.Name}} {% if x %}{% endraw %}{{ fast }}", "{{.Name}} {% if x %}5");
    renders("{{ {'a': {'b': fast}}['a']['b'] }}", "5");
    renders("{{ -fast }} {{ fast - 1 }}", "-5 4");
    renders("{{ params | tojson }}", r#"{"fast":5,"mode":"a b","on":true}"#);
}

#[test]
fn what_is_no_template_is_refused_with_a_remedy() {
    let fails = |word: &str, part: &str| {
        let error = render(word).expect_err(word);
        assert!(error.contains(part), "{word}: {error}");
    };
    for word in
        ["{{.Name}}", "{{range .Items}}{{.}}{{end}}", "{{{fast}}}", "{{ fast", "{{}}", "don't {{ don't }}"]
    {
        fails(word, "write {{ '{{' }} or {% raw %}...{% endraw %}");
    }
    fails("{{-fast}}", "write a space after the braces, as in {{ -x }}");
    fails("{{- fast -}}", "write a space after the braces");
    fails("{% if fast > 3 %}x{% endif %}", "`{% if %}` is a statement of Jinja");
    fails("{% set x = 'a' %}{{ x }}", "`{% set %}` is a statement");
    fails("{% raw %}{{ x }}", "not followed by `{% endraw %}`");
    fails("{{ slow }}", "uses `slow`, which is not a parameter");
    fails("{{ 'a\\0b' }}{{ fast }}{{ fast ~ '\u{0}' }}", "NUL");
}

#[test]
fn literals_render_to_themselves() {
    for text in [
        "{{",
        "{{{{",
        "{{{%",
        "{% raw %}{{ x }}{% endraw %}",
        "{% endraw %}",
        "{% if x %}",
        "a {{ b }} {# c #}",
    ] {
        assert_eq!(render(&literal(text)).as_deref(), Ok(text));
    }
}

/// A hundred bytes that would make gigabytes, as a manifest of its own.
#[test]
fn a_manifest_that_doubles_a_text_is_refused() {
    for word in [
        "{% set x = 'aaaaaaaa' %}{% for i in range(26) %}{% set x = x ~ x %}{% endfor %}{{ x }}",
        "{{ 'x' * 100000000 }}",
        "{{ ['x' * 100000000, 'x' * 100000000] }}",
        "{{ range(99999) | join('aaaaaaaaaaaaaaaaaaaaaaaaaaaa') }}",
        "{{ 'aaaaaaaa' | replace('a', 'aaaaaaaa') | replace('a', 'aaaaaaaa') | replace('a', 'aaaaaaaaa') | replace('a', 'aaaaaaaa') | replace('a', 'aaaaaaaaa') }}",
        "{{ '%999999999d' | format(1) }}",
    ] {
        let text = format!("image: x:1\ncommand: [echo, {word:?}]\n");
        let manifest =
            Manifest::parse(text.as_bytes(), Format::Yaml, "sweep.yaml").unwrap().finish().unwrap();
        let error = manifest.expand().expect_err(word).to_string();
        assert!(error.starts_with("sweep.yaml:2:"), "{error}");
    }
}

/// Depth that each format's parser would recurse over.
#[test]
fn deep_documents_are_refused() {
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    for (format, text) in [
        (Format::Yaml, deep("[", "]")),
        (Format::Yaml, deep("{a: ", "}")),
        (Format::Yaml, deep("- ", "")),
        (Format::Yaml, deep("? ", "")),
        (
            Format::Yaml,
            "a: &a [x]\n".to_owned() + &(0..40).map(|n| format!("b{n}: &a [*a, *a]\n")).collect::<String>(),
        ),
        (Format::Json, deep("[", "]")),
        (Format::Json, deep("{\"a\":", "}")),
        (Format::Toml, "a = ".to_owned() + &deep("[", "]")),
        (Format::Toml, "a = ".to_owned() + &deep("{a = ", "}")),
        (Format::Toml, "[a".to_owned() + &".a".repeat(100_000) + "]"),
        (Format::Toml, "a".to_owned() + &".a".repeat(100_000) + " = 1"),
    ] {
        assert!(Manifest::parse(text.as_bytes(), format, "m").is_err(), "{format:?}");
    }
}

/// A number that nothing is computed with keeps its spelling, however it gets into the text.
#[test]
fn numbers_are_written_as_the_manifest_writes_them() {
    let row = r#"{"a": 1.10, "b": 1e5, "c": -0, "s": "007"}"#;
    for (template, expected) in [
        ("{{ a }}", "1.10"),
        ("--a={{ a }} {{ b }},{{c}}", "--a=1.10 1e5,-0"),
        ("{{ params.a }} {{ params['b'] }}", "1.10 1e5"),
        ("{{ a if b > 2 else c }}", "1.10"),
        ("{{ '--a=' ~ a }}", "--a=1.10"),
        ("{{ a | string }} {{ b | tojson }}", "1.10 1e5"),
        ("{{ [a, b, s] | join(':') }}", "1.10:1e5:007"),
        ("{{ params | tojson }}", r#"{"a":1.10,"b":1e5,"c":-0,"s":"007"}"#),
        ("{{ a * 2 }} {{ b + 1 }}", "2.2 100001.0"),
    ] {
        let text = format!("image: x\ncommand: [echo, {template:?}]\n");
        let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "s").unwrap().finish().unwrap();
        let rendered = manifest.render(&Parameters::from_json(row).unwrap()).unwrap();
        assert_eq!(rendered.command[1], expected, "{template}");
    }
}

fn expand(yaml: &str) -> Result<u32, String> {
    let manifest =
        Manifest::parse(yaml.as_bytes(), Format::Yaml, "sweep.yaml").and_then(|draft| draft.finish());
    let expanded = manifest.and_then(|manifest| manifest.expand().map(|jobs| jobs.len()));
    expanded.map_err(|error| error.to_string())
}

#[test]
fn what_linux_can_not_pass_to_a_program_is_refused() {
    let fails = |yaml: &str, part: &str| {
        let error = expand(yaml).expect_err("too long");
        assert!(error.contains(part), "{error:.300}");
    };
    let text = |length: usize| "x".repeat(length);
    let fits = 131_071;
    assert_eq!(expand(&format!("image: x:1\ncommand: [echo, {}]\n", text(fits))), Ok(1));
    fails(
        &format!("image: x:1\ncommand: [echo, {}]\n", text(fits + 1)),
        "131071 are the most that Linux passes",
    );
    // The name is passed with the value.
    assert_eq!(expand(&format!("image: x:1\nenv: {{A: {}}}\n", text(fits - 2))), Ok(1));
    fails(
        &format!("image: x:1\nenv: {{A: {}}}\n", text(fits - 1)),
        "more than 131069 bytes, the most that Linux passes",
    );
    fails(
        &format!(
            "image: x:1\ncommand: [echo, '{}{{{{ a }}}}']\nparams: [{{a: 1}}, {{a: {}}}]\n",
            text(fits - 10),
            text(20)
        ),
        "renders to more than 131071 bytes",
    );
    let words = |count: usize| format!("image: x:1\ncommand: [{}]\n", vec![text(100_000); count].join(", "));
    assert_eq!(expand(&words(19)), Ok(1));
    fails(&words(20), "are 2000180 bytes together; 1966080 are the most");
    let many: Vec<String> = (0..300).map(|n| format!("p{n}: {}", text(8_000))).collect();
    fails(
        &format!("image: x:1\nparams: [{{{}}}]\n", many.join(", ")),
        "command, environment and parameters are",
    );
}
