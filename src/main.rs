//! The program `yaoku`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    yaoku::cli::main()
}
