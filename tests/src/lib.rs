//! The harness of the suites that need a live kernel.
