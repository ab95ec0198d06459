//! Lets tests and examples built here find a libpython outside the system's library path.

fn main() {
    #[cfg(feature = "python-bitcoin")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
