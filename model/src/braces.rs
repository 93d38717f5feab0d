//! Braces in text that is no template.

/// The template that renders to this text, whatever it holds.
pub fn literal(text: &str) -> String {
    text.replace("{{", "{{ '{{' }}").replace("{%", "{{ '{%' }}")
}
