//! Flags over a file.

use super::draft::Draft;
use super::keys;

impl Draft {
    /// The same draft with what the flags say, who win. Variables, labels, resources and volumes (by target) are
    /// merged one by one, a matrix axis by axis; another source of jobs takes the place of the file's.
    #[must_use]
    pub fn merge(mut self, mut flags: Self) -> Self {
        for key in keys::all() {
            // What a flag sets does not stand in the file any more.
            if (key.merge)(&mut self, &mut flags) {
                self.places.forget(key.name);
            }
        }
        self.places.take(flags.places);
        self
    }
}
