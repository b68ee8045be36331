//! The program. Everything it does is in the library; see `image_gateway::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    image_gateway::cli::run()
}
