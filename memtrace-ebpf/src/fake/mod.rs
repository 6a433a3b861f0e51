//! What the kernel gives the probes, made of host memory: for tests on the host.
pub(crate) mod kread;
pub(crate) mod maps;
pub(crate) mod shared;
