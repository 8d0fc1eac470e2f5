//! The operations of the catalog as the command line shows them: one sub-command of `yaoku call` each, with its help, and
//! the list of all. Every word comes from the catalog and the types of its requests.

use clap::Command;
use serde_json::{Value, json};

use super::exit::{Usage, closest};
use crate::api::{Access, Field, common_fields};
use crate::catalog::{self, Row};
use crate::config::Config;
use crate::model::principal::{Audience, Plane};
use crate::model::text::NO_CONTROLS;

/// Columns that the text of the help takes at most.
const WIDTH: usize = 96;

/// The operations that can be called from outside, in the order of the contract.
pub fn callable() -> impl Iterator<Item = &'static Row> {
    catalog::ROWS.iter().filter(|row| !row.spec.paths.is_empty())
}

/// The row of an operation that can be called, or which one was perhaps meant.
pub fn find(name: &str) -> Result<&'static Row, Usage> {
    callable().find(|row| row.spec.name == name).ok_or_else(|| {
        let like = closest(name, callable().map(|row| row.spec.name));
        let like = like.map_or(String::new(), |like| format!("did you mean {like}? "));
        Usage(format!("there is no operation {name}; {like}`yaoku call --list` prints all"))
    })
}

/// A sub-command without its arguments; its help is made when somebody asks for it.
pub fn command(row: &Row) -> Command {
    Command::new(row.spec.name).about(titles(row))
}

/// The title in both languages.
pub fn titles(row: &Row) -> String {
    format!("{} · {}", row.spec.title_en, row.spec.title_zh)
}

/// What stands above the arguments in the help of an operation.
pub fn introduction(row: &Row) -> String {
    format!("{}\n\n{}", titles(row), row.description())
}

/// What stands below the arguments in the help of an operation: its fields, how it is called, an example.
pub fn details(row: &Row) -> String {
    let mut text = String::new();
    for (title, fields) in [("Fields", row.fields()), ("Fields of every operation", common_fields())] {
        let none = if fields.is_empty() { " none" } else { "" };
        text.push_str(&format!("{title}:{none}\n"));
        for field in fields {
            text.push_str(&format!("  {}{}\n", field.name, if field.required { " (required)" } else { "" }));
            text.push_str(&wrapped(&explanation(&field)));
        }
        text.push('\n');
    }
    text.push_str("Result:\n");
    let results: Vec<String> = row.result_fields().into_iter().map(|field| field.name).collect();
    text.push_str(&wrapped(&if results.is_empty() { "nothing".to_owned() } else { results.join(", ") }));
    text.push_str("\nCall:\n");
    for line in facts(row) {
        text.push_str(&wrapped(&line));
    }
    text.push_str(&format!("\nExample:\n  {}", example(row)));
    text
}

/// What a field is, its form, default and an example, in one paragraph.
pub fn explanation(field: &Field) -> String {
    let description = field.description().replace('\n', " ");
    let default =
        field.schema.get("default").map(plain).filter(|it| !matches!(it.as_str(), "" | "[]" | "{}"));
    let default = default.map_or(String::new(), |default| format!("; by default {default}"));
    let example = field.example().map_or(String::new(), |example| format!("; such as {}", plain(example)));
    let form = form(&Value::Object(field.schema.clone()));
    format!("{description} [{form}{default}{example}]").trim_start().to_owned()
}

/// The form of a value: its type and limits.
fn form(schema: &Value) -> String {
    if let Some(Value::Array(choices)) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        return choices.iter().map(form).collect::<Vec<_>>().join(", or ");
    }
    if let Some(Value::Array(names)) = schema.get("enum") {
        return format!("one of {}", names.iter().map(plain).collect::<Vec<_>>().join(", "));
    }
    types(schema).into_iter().map(|kind| form_of(kind, schema)).collect::<Vec<_>>().join(", or ")
}

fn form_of(kind: &str, schema: &Value) -> String {
    let limits = |least: &str, most: &str, unit: &str| match (schema.get(least), schema.get(most)) {
        (Some(least), Some(most)) => format!(" of {least} to {most}{unit}"),
        (Some(least), None) if *least != 0 => format!(" of at least {least}{unit}"),
        (None, Some(most)) => format!(" of at most {most}{unit}"),
        (Some(_) | None, None) => String::new(),
    };
    match kind {
        "string" if is_base64(schema) => {
            format!(
                "Base64{}; @FILE encodes the bytes of a file",
                limits("minLength", "maxLength", " characters")
            )
        }
        "string" => {
            let pattern = schema.get("pattern").and_then(Value::as_str);
            let pattern = pattern.filter(|pattern| *pattern != NO_CONTROLS);
            let pattern = pattern.map_or(String::new(), |pattern| format!(" of the form {pattern}"));
            format!("text{}{pattern}", limits("minLength", "maxLength", " characters"))
        }
        "integer" => format!("whole number{}", limits("minimum", "maximum", "")),
        "boolean" => "true or false".to_owned(),
        "array" => {
            let items = schema.get("items").map(form).filter(|form| !form.is_empty());
            let items = items.map_or(String::new(), |form| format!(", each: {form}"));
            format!("list in JSON{}{items}", limits("minItems", "maxItems", " items"))
        }
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            let names: Vec<&str> = properties.map(|(name, _)| name.as_str()).collect();
            let with = if names.is_empty() { "" } else { " with " };
            format!("object in JSON{with}{}", names.join(", "))
        }
        other => other.to_owned(),
    }
}

/// The types that a schema allows.
pub fn types(schema: &Value) -> Vec<&str> {
    if let Some(Value::Array(choices)) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        return choices.iter().flat_map(types).collect();
    }
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    }
}

/// Whether a value stands for bytes.
pub fn is_base64(schema: &Value) -> bool {
    schema.get("contentEncoding").and_then(Value::as_str) == Some("base64")
}

/// A value as one types it after `name=`.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Where and how an operation is called.
pub fn facts(row: &Row) -> Vec<String> {
    let (spec, on) = (row.spec, |plane| row.spec.reach.contains(plane));
    let mut lines = Vec::new();
    for path in spec.paths {
        let open = on(Plane::OpenApi).then(|| format!("POST /v1{path} on OpenAPI"));
        let point = on(Plane::AccessPoint).then(|| format!("POST {path} on access points"));
        lines.push([open, point].into_iter().flatten().collect::<Vec<_>>().join(", "));
    }
    let audience = match spec.audience {
        Audience::Tenant => "",
        Audience::Product => "; also for cloud products",
        Audience::Administrator => "; for administrators of the appliance",
    };
    lines.push(format!("action {} ({}){audience}", spec.action, access(spec.access)));
    if let Some(rate) = Config::default().rates.of(spec.rate) {
        let open = on(Plane::OpenApi).then(|| format!("{} for an account", rate.openapi));
        let point = on(Plane::AccessPoint)
            .then(|| format!("{} for a base instance on access points", rate.access_point));
        let rates = [open, point].into_iter().flatten().collect::<Vec<_>>().join(", ");
        lines.push(format!("calls a second, unless the settings say otherwise: {rates}"));
    }
    lines
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// A command that can be typed as it stands: with the required fields, or with one that shows the form.
pub fn example(row: &Row) -> String {
    let fields = row.fields();
    let pair = |field: &Field| field.example().map(|value| format!("{}={}", field.name, plain(value)));
    let mut pairs: Vec<String> = fields.iter().filter(|field| field.required).filter_map(pair).collect();
    if pairs.is_empty() {
        pairs.extend(fields.iter().find_map(pair));
    }
    let safe = |c: char| c.is_ascii_alphanumeric() || "=/_-.:+@,".contains(c);
    let quoted = pairs.into_iter().map(|pair| match pair.chars().all(safe) {
        true => format!(" --field {pair}"),
        false => format!(" --field '{}'", pair.replace('\'', r"'\''")),
    });
    format!("yaoku call {}{}", row.spec.name, quoted.collect::<String>())
}

/// A paragraph below a heading, broken between words.
fn wrapped(text: &str) -> String {
    let (mut lines, mut column) = (String::new(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        match column {
            0 => lines.push_str("      "),
            _ if column + 1 + length > WIDTH - 6 => {
                lines.push_str("\n      ");
                column = 0;
            }
            _ => {
                lines.push(' ');
                column += 1;
            }
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}

/// The planes of an operation.
fn planes(row: &Row) -> Vec<&'static str> {
    let planes = [(Plane::OpenApi, "openapi"), (Plane::AccessPoint, "access-point")];
    planes.into_iter().filter(|(plane, _)| row.spec.reach.contains(*plane)).map(|(_, name)| name).collect()
}

/// Every operation as a line of name, access, planes, English and Chinese title: in columns for people, else with tabs.
/// The Chinese title is the last one, so that wide characters move nothing.
pub fn list(columns: bool) -> String {
    let cells = |row: &Row| {
        let (name, planes) = (row.spec.name.to_owned(), planes(row).join(","));
        [name, access(row.spec.access).to_owned(), planes, row.spec.title_en.to_owned()]
    };
    let rows: Vec<_> = callable().map(|row| (cells(row), row.spec.title_zh)).collect();
    let mut text = String::new();
    for (cells, last) in &rows {
        for (at, cell) in cells.iter().enumerate() {
            let width = rows.iter().map(|(cells, _)| cells.get(at).map_or(0, String::len)).max().unwrap_or(0);
            text.push_str(&if columns { format!("{cell:width$}  ") } else { format!("{cell}\t") });
        }
        text.extend([last, "\n"]);
    }
    text
}

/// Every operation as a JSON object.
pub fn list_json() -> Value {
    let object = |row: &Row| {
        let spec = row.spec;
        json!({
            "name": spec.name, "access": access(spec.access), "planes": planes(row), "paths": spec.paths,
            "action": spec.action, "titleEn": spec.title_en, "titleZh": spec.title_zh,
            "description": row.description(),
        })
    };
    callable().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_begin_at_the_same_place_in_every_line() {
        let text = list(true);
        let places = |line: &str| {
            let title = line.split("  ").last().unwrap_or_default().trim().len();
            (line.find(" read").or(line.find(" write")), line.find(" openapi"), line.len() - title)
        };
        let places: Vec<_> = text.lines().map(places).collect();
        assert!(places.len() > 20 && places.iter().all(|other| *other == places[0]), "{text}");
    }

    #[test]
    fn long_words_and_short_ones_stay_within_the_width() {
        for line in callable().flat_map(|row| details(row).lines().map(str::to_owned).collect::<Vec<_>>()) {
            let fits = line.chars().count() <= WIDTH || line.trim().split(' ').count() == 1;
            assert!(fits || line.contains("yaoku call"), "{line}");
        }
    }
}
