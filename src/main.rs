//! The program `yaoku`; everything is in the library.

use std::process::ExitCode;

/// A call allocates and frees on several threads; the system's allocator spends a seventh of the service's time on that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    yaoku::cli::main()
}
