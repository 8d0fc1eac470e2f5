//! `yaoku completions`: scripts that complete commands, operations and the names of their fields in a shell.

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::Error;
use clap::{Arg, Args, Command, ValueEnum};
use clap_complete::shells::{Bash, Fish, Zsh};

use super::Outcome;
use crate::api::common_fields;
use crate::catalog::Row;

#[derive(Args)]
pub struct CompletionArguments {
    /// Shell that shall read the script
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// In bash a blank follows whatever was completed; none belongs behind `name=`.
const BASH_WITHOUT_BLANK: &str = r#"
_yaoku_fields() {
    _yaoku "$@"
    case "${COMPREPLY[*]}" in *=) compopt -o nospace ;; esac
}
complete -F _yaoku_fields -o bashdefault -o default yaoku
"#;

/// Prints the script.
pub fn completions(arguments: &CompletionArguments, mut command: Command) -> Outcome {
    let mut script = Vec::new();
    match arguments.shell {
        Shell::Bash => {
            clap_complete::generate(Bash, &mut command, "yaoku", &mut script);
            script.extend(BASH_WITHOUT_BLANK.as_bytes());
        }
        Shell::Zsh => clap_complete::generate(Zsh, &mut command, "yaoku", &mut script),
        Shell::Fish => clap_complete::generate(Fish, &mut command, "yaoku", &mut script),
    }
    super::print(&String::from_utf8(script)?);
    Ok(())
}

/// The argument `--field`, with the names of an operation's fields to complete.
pub fn with_names(field: Arg, row: &Row) -> Arg {
    let names = row.fields().into_iter().chain(common_fields()).map(|field| format!("{}=", field.name));
    field.value_parser(Pair { names: names.collect() }).hide_possible_values(true)
}

/// Any text; its possible values are how it may begin.
#[derive(Clone)]
struct Pair {
    names: Vec<String>,
}

impl TypedValueParser for Pair {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.names.iter().map(PossibleValue::new)))
    }
}
