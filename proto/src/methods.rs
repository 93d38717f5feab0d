//! All methods of all services as one enum, generated from the .proto files. A table over it that is matched without a
//! wildcard has a row for each method, or does not compile.

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

impl Method {
    /// The method at this address.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.path() == path)
    }

    /// Without the package, where that is btctl's: `Sweeps/Cancel`.
    pub fn short(self) -> &'static str {
        self.path().trim_start_matches("/btctl.v1.").trim_start_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_found_at_its_address() {
        assert!(Method::ALL.len() > 50);
        for method in Method::ALL {
            assert_eq!(Method::at(method.path()), Some(*method));
        }
        assert_eq!(Method::SweepsCancel.path(), "/btctl.v1.Sweeps/Cancel");
        assert_eq!(Method::SweepsCancel.short(), "Sweeps/Cancel");
        assert_eq!(Method::at("/btctl.v1.Sweeps/IsAnybodyThere"), None);
    }
}
