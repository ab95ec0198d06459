//! Lets binaries and tests built here find a libpython outside the system's library path.

fn main() {
    #[cfg(feature = "python")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
