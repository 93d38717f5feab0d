//! Names of images: `registry:5000/team/backtest:1.2`, `backtest@sha256:...`.

/// What is behind the last slash. A colon before it belongs to a registry's port.
fn last(image: &str) -> &str {
    image.rsplit('/').next().unwrap_or(image)
}

/// True where the name says which of its images is meant, by a tag or a digest.
pub fn has_tag(image: &str) -> bool {
    last(image).contains(':')
}

/// The name as engines write it: without a tag it means the tag `latest`.
pub fn tagged(image: &str) -> String {
    if has_tag(image) { image.to_owned() } else { format!("{image}:latest") }
}

/// True where the name stands for one image for good: a digest, an id, or a tag that says a version.
pub fn is_fixed(image: &str) -> bool {
    let last = last(image);
    image.starts_with("sha256:") || last.contains('@') || has_tag(image) && !last.ends_with(":latest")
}

/// The name alone, without registry, tag and digest.
pub fn short_name(image: &str) -> &str {
    let path = image.split('@').next().unwrap_or(image);
    let last = last(path);
    last.split(':').next().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_mean() {
        for (image, tagged_name, fixed, short) in [
            ("bt", "bt:latest", false, "bt"),
            ("bt:latest", "bt:latest", false, "bt"),
            ("bt:1", "bt:1", true, "bt"),
            ("reg:5000/team/bt", "reg:5000/team/bt:latest", false, "bt"),
            ("reg:5000/team/bt:1", "reg:5000/team/bt:1", true, "bt"),
            ("bt@sha256:0123", "bt@sha256:0123", true, "bt"),
            ("sha256:0123", "sha256:0123", true, "sha256"),
        ] {
            assert_eq!(tagged(image), tagged_name);
            assert_eq!((is_fixed(image), short_name(image)), (fixed, short), "{image}");
        }
    }
}
