//! `yaoku man`: manual pages of every command, and one of all operations, made of the same words as the help.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::call::{self, RequestArguments};
use super::profile::Connection;
use super::{Outcome, exit, operation, process};
use crate::api::{Field, common_fields};

/// What stands above every page.
const MANUAL: &str = "Yaoku";
/// What stands below every page.
const VERSION: &str = concat!("yaoku ", env!("CARGO_PKG_VERSION"));
/// Name of the page of all operations, in section 7.
const OPERATIONS: &str = "yaoku-operations";

/// Name of the page of the command whose sub-commands are operations.
const CALL: &str = "yaoku-call";

#[derive(Args)]
pub struct ManualArguments {
    /// Folder to write all pages into, below man1 and man7, such as ~/.local/share/man; without it, yaoku(1) is printed
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Prints the first page, or writes all.
pub fn manual(arguments: &ManualArguments, mut command: Command) -> Outcome {
    command.build();
    let Some(directory) = &arguments.directory else {
        super::print(&page(&command)?);
        return Ok(());
    };
    process::share_files();
    write(directory, OPERATIONS, 7, &operations())?;
    write_pages(directory, &command)
}

/// Writes the page of a command and of those below it. `call` has one page: its operations have one of their own.
fn write_pages(directory: &Path, command: &Command) -> Outcome {
    let name = command.get_display_name().unwrap_or(command.get_name());
    write(directory, name, 1, &page(command)?)?;
    if name == CALL {
        return Ok(());
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        write_pages(directory, below)?;
    }
    Ok(())
}

/// Writes one page where `man` looks for it.
fn write(directory: &Path, name: &str, section: u8, page: &str) -> Outcome {
    let folder = directory.join(format!("man{section}"));
    let path = folder.join(format!("{name}.{section}"));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, page));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// The page of one command.
fn page(command: &Command) -> Result<String, Box<dyn std::error::Error>> {
    let is_call = command.get_display_name() == Some(CALL);
    // What every operation takes stands once, in the page of `call`.
    let shown = match is_call {
        true => {
            let about = command.get_about().cloned().unwrap_or_default();
            let shown = RequestArguments::augment_args(Command::new("call").display_name(CALL));
            Connection::augment_args(shown).about(about).override_usage(call::USAGE)
        }
        false => command.clone(),
    };
    let below = shown.has_subcommands();
    let man = Man::new(shown).source(VERSION).manual(MANUAL);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if below {
        man.render_subcommands_section(&mut text)?;
    }
    ending().to_writer(&mut text)?;
    Ok(String::from_utf8(text)?)
}

/// What ends the page of every command.
fn ending() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit::CODES {
        roff.control("TP", []);
        roff.text([bold(code.to_string())]);
        roff.text([roman(meaning)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("yaoku"), roman("(1), "), bold(OPERATIONS), roman("(7)")]);
    roff
}

/// The page of all operations.
fn operations() -> String {
    let mut roff = Roff::new();
    roff.control("TH", [OPERATIONS, "7", "", VERSION, MANUAL]);
    // Names and values are not for breaking.
    roff.control("nh", []);
    roff.control("ad", ["l"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{OPERATIONS} - what can be called"))]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([
        roman("Every operation is called by "),
        bold("yaoku call"),
        roman(" and its name. Beside their own fields, all of them understand these:"),
    ]);
    fields(&mut roff, &common_fields());
    roff.control("SH", ["OPERATIONS"]);
    for row in operation::callable() {
        roff.control("SS", [row.spec.name]);
        roff.text([roman(format!("{}. {}", operation::titles(row), row.description().replace('\n', " ")))]);
        fields(&mut roff, &row.fields());
        roff.control("PP", []);
        let results: Vec<String> = row.result_fields().into_iter().map(|field| field.name).collect();
        roff.text([roman(format!("Result: {}.", results.join(", ")))]);
        for fact in operation::facts(row) {
            roff.control("br", []);
            roff.text([roman(fact)]);
        }
        roff.control("PP", []);
        roff.text([roman("Example: "), bold(operation::example(row))]);
    }
    roff.render()
}

fn fields(roff: &mut Roff, fields: &[Field]) {
    for field in fields {
        roff.control("TP", []);
        let required = if field.required { " (required)" } else { "" };
        roff.text([bold(field.name.as_str()), roman(required)]);
        roff.text([roman(operation::explanation(field))]);
    }
}
