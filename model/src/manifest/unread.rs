//! What a draft wants to know of volumes before it is a manifest: whoever submits it asks an agent.

use super::draft::Draft;
use super::error::Error;
use super::matrix::Axis;
use super::volume_axis::VolumeFiles;

impl Draft {
    /// The axes that are to be read from volumes, by name; an agent must be asked.
    pub fn unread_axes(&self) -> Vec<(String, VolumeFiles)> {
        let axes = self.matrix.iter().flat_map(|matrix| &matrix.axes);
        let unread = axes.filter_map(|(name, axis)| match axis {
            Axis::Files(from, values) if values.is_empty() => Some((name.clone(), from.clone())),
            _ => None,
        });
        unread.collect()
    }

    /// Gives an unread axis the files, by their paths below the volume's root, that an agent found.
    pub fn fill_axis(&mut self, name: &str, mut paths: Vec<String>) -> Result<(), Error> {
        let place = self.places.of(&format!("matrix.{name}")).cloned();
        let axes = self.matrix.iter_mut().flat_map(|matrix| &mut matrix.axes);
        let Some(axis) = axes.filter(|(known, _)| known == name).map(|(_, axis)| axis).next() else {
            return Ok(());
        };
        let Axis::Files(from, _) = axis else { return Ok(()) };
        paths.sort_unstable();
        let filled = from.values_of(name, &paths).and_then(|values| Axis::files(name, from.clone(), values));
        *axis = filled.map_err(|error| error.or_at(place.as_ref()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, Manifest};

    fn draft(axis: &str) -> Result<Draft, String> {
        let text = format!("image: x\nmatrix:\n  fast: [5, 10]\n  instrument: {axis}\n");
        Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml").map_err(|error| error.to_string())
    }

    fn filled(axis: &str, files: &[&str]) -> Result<Manifest, String> {
        let mut draft = draft(axis)?;
        let unread = draft.unread_axes();
        assert_eq!(unread.len(), 1);
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        draft.fill_axis(&unread[0].0, files).map_err(|error| error.to_string())?;
        assert!(draft.unread_axes().is_empty());
        draft.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn the_files_of_a_volume_are_values_and_stay_in_the_manifest() {
        let files = ["MSFT.csv", "us/AAPL.csv", "GOOG.csv"];
        let manifest = filled("{from_volume: prices, glob: '**/*.csv'}", &files).unwrap();
        let jobs = manifest.expand().unwrap();
        let of = |job: usize| jobs.iter().nth(job).unwrap().get("instrument").cloned();
        assert_eq!(jobs.len(), 6);
        assert_eq!((of(0), of(2)), (Some("GOOG.csv".into()), Some("us/AAPL.csv".into())));
        let sent = Manifest::from_json(&manifest.to_json()).unwrap();
        assert_eq!(sent.to_json(), manifest.to_json());
        assert_eq!(sent.expand().unwrap().len(), 6);
        let stems = filled("{from_volume: prices, glob: '**/*.csv', value: stem}", &files).unwrap();
        let stems = stems.expand().unwrap();
        let stems: Vec<_> = stems.iter().take(3).map(|job| job.get("instrument").cloned().unwrap()).collect();
        assert_eq!(stems, ["GOOG", "MSFT", "AAPL"]);
    }

    #[test]
    fn nobody_was_asked_and_nothing_was_found_are_errors() {
        let unread = draft("{from_volume: prices, glob: '*.csv'}").unwrap().finish().unwrap_err().to_string();
        assert!(unread.contains("`instrument`") && unread.contains("has not been read"), "{unread}");
        for (axis, files, parts) in [
            ("{from_volume: p, glob: '*.csv'}", &[][..], ["no file of the volume p matches", "*.csv"]),
            ("{from_volume: p, glob: '*', value: stem}", &["a.csv", "b/a.gz"], ["a.csv and b/a.gz", "stem"]),
        ] {
            let error = filled(axis, files).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)) && error.contains("s.yaml:4"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (axis, part) in [
            ("{from_volume: prices}", "needs a `from_volume` and a `glob`"),
            ("{glob: '*.csv'}", "needs a `from_volume` and a `glob`"),
            ("{from_volume: prices, glob: ''}", "`glob` has 0 characters"),
            ("{from_volume: prices, glob: ../*.csv}", "below the volume's root"),
            ("{from_volume: prices, glob: /data/*.csv}", "below the volume's root"),
            ("{from_volume: prices, glob: '*', valu: stem}", "did you mean `value`"),
            ("{from_volume: prices, glob: '*', value: stm}", "did you mean `stem`"),
            ("{from_volume: 'a b', glob: '*'}", "a b"),
        ] {
            let error = draft(axis).unwrap_err();
            assert!(error.contains(part), "{axis}: {error}");
        }
    }
}
