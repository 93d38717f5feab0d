use crate::manifest::{Format, Manifest};

fn manifest(yaml: &str) -> Manifest {
    Manifest::parse(yaml.as_bytes(), Format::Yaml, "m").unwrap().finish().unwrap()
}

/// Each job's parameters are looked for where they are, and what is not there nowhere, or where it is not.
#[test]
fn parameters_are_found_again_in_a_matrix() {
    for matrix in [
        "{ a: [1, 2, 3], b: { from: 0.1, to: 0.5, step: 0.1 } }",
        "{ a: [x, 'y', true, 2.5], d: { from: 2020-01-31, to: 2020-12-31, step: 1 month } }",
        "{ a: [1, 2], b: [3, 4], exclude: [{ a: 1, b: 3 }], include: [{ a: 1, c: 5 }, { a: 9, b: 9 }, { z: 1 }] }",
        "{ include: [{ a: 1 }, { a: 2 }] }",
    ] {
        let manifest = manifest(&format!("image: i:1\nmatrix: {matrix}\n"));
        let (jobs, points) = (manifest.expand().unwrap(), manifest.points().unwrap());
        let places: Vec<u64> = match jobs.points() {
            Some(places) => places.collect(),
            None => (0..jobs.len().into()).collect(),
        };
        for place in places {
            let parameters = points.get(place);
            let found = points.places_of(&parameters).unwrap();
            assert!(
                found.contains(&place),
                "{matrix}: {} is at {place}, not at {found:?}",
                parameters.to_json()
            );
        }
        let other = crate::parameters::Parameters::from_json(r#"{"a": 77, "b": 78}"#).unwrap();
        let found = points.places_of(&other).unwrap();
        assert!(found.iter().all(|place| points.get(*place) != other), "{matrix}: {found:?}");
    }
    let rows = manifest("image: i:1\nparams: [{ n: 1 }]\n");
    assert_eq!(rows.points().unwrap().places_of(&rows.expand().unwrap().get(0).unwrap()), None);
}
