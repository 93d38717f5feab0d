//! Variables that tell numeric libraries and languages how many threads to start. They would otherwise start one for each
//! cpu of the machine, whatever the container's quota is.

/// Who reads it is said beside each.
pub(crate) const VARIABLES: [&str; 22] = [
    // OpenMP: also what XGBoost, LightGBM, scikit-learn, PyTorch and Arrow go by.
    "OMP_NUM_THREADS",
    // BLAS in its makes.
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    // Python itself, from 3.13 on, and joblib's workers.
    "PYTHON_CPU_COUNT",
    "LOKY_MAX_CPU_COUNT",
    "POLARS_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "MODIN_CPUS",
    // Rust's rayon, Go, Julia, .NET.
    "RAYON_NUM_THREADS",
    "GOMAXPROCS",
    "JULIA_NUM_THREADS",
    "DOTNET_PROCESSOR_COUNT",
    // R.
    "MC_CORES",
    "R_DATATABLE_NUM_THREADS",
    "RCPP_PARALLEL_NUM_THREADS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_documentation() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/MANIFEST.md");
        let page = std::fs::read_to_string(page).unwrap();
        for name in VARIABLES {
            assert!(page.contains(&format!("`{name}`")), "docs/MANIFEST.md does not name {name}");
        }
    }
}
