//! How the code is laid out: who may import whom, which folder alone knows which library, where paths and clocks
//! stand, and that README speaks of things that exist. Read from the source text; nothing is started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use yaoku::catalog;
use yaoku::config::{Config, DEFAULT};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const LINES_MAX: usize = 500;

/// What each top module imports of the others, from the socket down. A name may only be imported from the left of
/// where it stands itself: whoever is imported is found further below.
const IMPORTS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    // `call` shows what the catalog knows of operations and their fields, a profile reads what the server wrote, `audit` verifies exports and makes those of a stopped service.
    ("cli", &["server", "catalog", "ops", "api", "store", "config", "model", "error", "env"]),
    // The one place that knows everything: it starts and stops.
    (
        "server",
        &["http", "cron", "gateway", "catalog", "ops", "app", "store", "config", "model", "error", "env"],
    ),
    // Envelopes have the form that the settings say; certificates are dated.
    ("http", &["document", "gateway", "config", "model", "error", "env"]),
    ("cron", &["gateway", "ops", "app", "store", "model", "ids", "error"]),
    // It describes what the catalog lists and in which form the settings have it answered.
    ("document", &["gateway", "catalog", "api", "config", "model", "error"]),
    (
        "gateway",
        &["catalog", "ops", "app", "api", "store", "config", "model", "ids", "error", "env", "histogram"],
    ),
    ("catalog", &["ops", "api", "model", "error"]),
    ("ops", &["app", "api", "store", "model", "ids", "error", "env"]),
    // Which operations there are is handed to it: what they are does not stand below them.
    ("app", &["actors", "api", "store", "config", "model", "ids", "error", "env"]),
    // A keeper commits changes together with the call that caused them.
    ("actors", &["api", "store", "model", "error"]),
    // A call carries its audit record to the store.
    ("api", &["store", "model", "ids", "error", "env"]),
    ("store", &["config", "model", "ids", "error", "env", "histogram"]),
    // Rates are a model; their figures are settings.
    ("config", &["model"]),
    ("model", &["ids", "error", "env"]),
    ("ids", &[]),
    ("error", &[]),
    ("env", &[]),
    ("histogram", &[]),
];

/// Who names the cipher machine's types. `env` hands it entropy, `api` puts what it released on the wire, `gateway`
/// asks whether it works and has it check signatures, `server` starts it, `app` and `actors` run its commands, `ops` write them, `model` and
/// `store` keep what it wrapped and sealed. The listeners, cron and the command line do not know that there is one.
const MACHINE_USERS: [&str; 9] =
    ["actors", "api", "app", "env", "gateway", "model", "ops", "server", "store"];

/// One source file.
struct Source {
    /// Relative to the root, such as `src/api/call.rs`.
    path: String,
    text: String,
    /// The text without comments and with empty literals.
    code: String,
    /// The contents of its string literals.
    literals: Vec<String>,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let (code, literals) = split(&text);
        let path = path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
        Self { path, text, code, literals }
    }

    /// The top module it belongs to: `api` for `src/api/call.rs`, `gateway` for `src/gateway.rs`.
    fn module(&self) -> &str {
        let tail = self.path.strip_prefix("src/").unwrap();
        tail.split(['/', '.']).next().unwrap()
    }

    /// Whether it is compiled for tests only.
    fn is_test(&self) -> bool {
        ["/tests", "/vectors", "/trials"]
            .iter()
            .any(|name| self.path.contains(&format!("{name}.rs")) || self.path.contains(&format!("{name}/")))
    }

    /// Whether `super::` in it, outside its tests, is the root of the crate.
    fn is_top(&self) -> bool {
        let tail = self.path.strip_prefix("src/").unwrap();
        !tail.contains('/') || (tail.matches('/').count() == 1 && tail.ends_with("/mod.rs"))
    }

    /// Its code and literals without the tests at its end.
    fn product(&self) -> Self {
        let end = if self.is_test() { 0 } else { self.text.find("#[cfg(test)]").unwrap_or(self.text.len()) };
        let text = self.text[..end].to_owned();
        let (code, literals) = split(&text);
        Self { path: self.path.clone(), text, code, literals }
    }

    /// Whether its code has the word; `name` in `other_name` is none.
    fn has_word(&self, word: &str) -> bool {
        words(&self.code, word).next().is_some()
    }
}

/// Where a word begins in some code.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let (before, after) = (code[..*at].bytes().last(), code[at + word.len()..].bytes().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// Takes comments and the contents of literals out of Rust code; returns the rest, and the strings.
fn split(text: &str) -> (String, Vec<String>) {
    let (mut code, mut literals, mut rest) = (String::new(), Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|tail| tail.bytes().take_while(|byte| *byte == b'#').count());
        let raw = raw.filter(|hashes| rest[1 + hashes..].starts_with('"'));
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw {
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = &rest[hashes + 2..];
            let length = inside.find(&end).unwrap();
            literals.push(inside[..length].to_owned());
            code.push_str("\"\"");
            hashes + 2 + length + end.len()
        } else if first == '"' {
            let length = string_length(&rest[1..]);
            literals.push(rest[1..=length].to_owned());
            code.push_str("\"\"");
            length + 2
        } else if let Some(length) = character_length(rest) {
            code.push_str("' '");
            length
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    (code, literals)
}

/// How far the closing quote is.
fn string_length(inside: &str) -> usize {
    let mut escaped = false;
    let end = inside.char_indices().find(|(_, character)| {
        let closes = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        closes
    });
    end.expect("a string ends").0
}

/// The length of a character literal; a lifetime is none.
fn character_length(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let mut characters = inside.char_indices();
    if characters.next()?.1 == '\\' {
        return Some(4 + inside[2..].find('\'')?);
    }
    characters.next().filter(|(_, second)| *second == '\'').map(|(at, _)| at + 2)
}

#[test]
fn comments_and_literals_are_told_from_code() {
    let text = r##"let a = "x \" // \\"; // crate::b "c"
        'd: loop { let _ = ['"', '\'', '\u{41}']; } let e = r#"f "g" crate::h"#; let i = br"\";"##;
    let (code, literals) = split(text);
    assert_eq!(literals, [r#"x \" // \\"#, r#"f "g" crate::h"#, r"\"]);
    assert!(!code.contains("crate") && code.contains("'d: loop"), "{code}");
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            found.extend(files(&format!("{folder}/{}", name.to_str().unwrap())));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources(folder: &str) -> Vec<Source> {
    let sources: Vec<Source> = files(folder).iter().map(|path| Source::read(path)).collect();
    assert!(sources.len() > 10, "{folder} has {} files", sources.len());
    sources
}

/// The first names of all paths that begin with `root`, such as `crate`; also within braces.
fn imported<'a>(code: &'a str, root: &'a str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for at in words(code, root) {
        let Some(tail) = code[at + root.len()..].strip_prefix("::") else { continue };
        let name = |text: &'a str| {
            let text = text.trim_start();
            text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()
        };
        let Some(list) = tail.strip_prefix('{') else {
            names.insert(name(tail));
            continue;
        };
        let (mut depth, mut from) = (1, 0);
        for (at, character) in list.char_indices() {
            depth += match character {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            if (character == ',' && depth == 1) || depth == 0 {
                names.insert(name(&list[from..at]));
                from = at + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.remove("");
    names
}

#[test]
fn paths_are_found_in_every_spelling() {
    let code = "use crate::a::b; use crate::{c, d::{e, f}, g as h,}; fn i() { crate::j() } mycrate::k";
    assert_eq!(imported(code, "crate"), BTreeSet::from(["a", "c", "d", "g", "j"]));
}

/// What each top module imports of the others, as the source has it.
fn found_imports() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources("src") {
        let module = source.module().to_owned();
        if module == "lib" {
            continue;
        }
        let root = if module == "main" { "yaoku" } else { "crate" };
        let names = imported(&source.code, root).into_iter().map(str::to_owned);
        found.entry(module.clone()).or_default().extend(names.filter(|name| *name != module));
    }
    found
}

#[test]
fn every_module_imports_what_the_table_says() {
    let found = found_imports();
    let table = IMPORTS.iter().map(|(module, names)| {
        ((*module).to_owned(), names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())
    });
    assert_eq!(found, table.collect::<BTreeMap<_, _>>());
}

#[test]
fn imports_point_one_way() {
    for (at, (module, names)) in IMPORTS.iter().enumerate() {
        for name in *names {
            let target = IMPORTS.iter().position(|(other, _)| other == name);
            assert!(target.is_some_and(|target| target > at), "{module} imports {name}");
        }
    }
    let of = |module| IMPORTS.iter().find(|(name, _)| *name == module).unwrap().1;
    assert!(!of("http").contains(&"cron") && !of("cron").contains(&"http"), "both stand beside each other");
}

/// The table above reads `crate::`; nothing may reach the other modules by another name.
#[test]
fn modules_reach_each_other_by_crate_paths_only() {
    for source in sources("src").iter().map(Source::product) {
        assert!(!source.code.contains("super::super"), "{}", source.path);
        assert!(
            !source.is_top() || !source.has_word("super"),
            "{}: super is the root of the crate",
            source.path
        );
        let root = imported(&source.code, "crate");
        assert!(root.iter().all(|name| IMPORTS.iter().any(|(other, _)| other == name)), "{}", source.path);
    }
}

#[test]
fn every_module_of_the_library_is_in_the_table() {
    let library = Source::read(&Path::new(ROOT).join("src/lib.rs"));
    let modules: Vec<&str> =
        library.code.lines().filter_map(|line| line.split_once("mod ")).map(|(_, name)| name).collect();
    let expected: BTreeSet<&str> =
        IMPORTS.iter().map(|(module, _)| *module).filter(|name| *name != "main").collect();
    assert_eq!(modules.iter().map(|name| name.trim_end_matches(';')).collect::<BTreeSet<_>>(), expected);
}

/// The files whose code names the word.
fn users(word: &str) -> Vec<String> {
    sources("src").into_iter().filter(|source| source.has_word(word)).map(|source| source.path).collect()
}

/// A library that only some places may know.
fn only(word: &str, places: &[&str]) {
    let users = users(word);
    for user in &users {
        assert!(places.iter().any(|place| user.starts_with(place)), "{user} names {word}");
    }
    for place in places {
        assert!(
            users.iter().any(|user| user.starts_with(place)),
            "{place} names no {word}: shorten this test"
        );
    }
}

#[test]
fn only_the_store_knows_redb() {
    only("redb", &["src/store/"]);
}

#[test]
fn only_the_listeners_know_actix_web() {
    for word in ["actix_web", "actix_http", "actix_server", "actix_service"] {
        only(word, &["src/http/"]);
    }
}

#[test]
fn only_the_gateway_knows_the_form_of_metrics() {
    for word in ["prometheus_client", "procfs"] {
        only(word, &["src/gateway/metrics.rs"]);
    }
}

/// `app` hands an arbiter on, `server` and `serve` make arbiters and the system.
#[test]
fn only_actors_and_those_who_start_them_know_actix() {
    only("actix", &["src/actors/", "src/app.rs", "src/cli/serve.rs", "src/cron.rs", "src/server.rs"]);
}

#[test]
fn only_the_command_line_calls_out() {
    for word in ["ureq", "indicatif", "clap"] {
        only(word, &["src/cli/"]);
    }
    // What a listener accepted.
    only("TcpStream", &["src/http/listener.rs"]);
    for word in ["UdpSocket", "ToSocketAddrs"] {
        only(word, &[]);
    }
}

#[test]
fn only_env_reads_clocks_and_the_systems_generator() {
    for word in ["SystemTime", "Instant", "getrandom"] {
        only(word, &["src/env.rs"]);
    }
    for word in ["now_utc", "now_local", "OsRng", "thread_rng"] {
        only(word, &[]);
    }
}

#[test]
fn the_model_knows_no_library_of_the_outer_layers() {
    for word in ["actix", "actix_web", "redb", "tokio", "rustls", "tracing", "toml", "clap", "std::fs"] {
        let users: Vec<String> =
            users(word).into_iter().filter(|user| user.starts_with("src/model/")).collect();
        assert_eq!(users, Vec::<String>::new(), "{word}");
    }
}

#[test]
fn the_cipher_machine_is_known_to_those_in_the_list_only() {
    let found: BTreeSet<String> = sources("src")
        .iter()
        .filter(|source| source.has_word("firmware_sim"))
        .map(|source| source.module().to_owned())
        .collect();
    assert_eq!(found, MACHINE_USERS.map(str::to_owned).into());
}

#[test]
fn the_cipher_machine_depends_on_nothing_that_reaches_out() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("firmware-sim/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    assert!(dependencies.contains_key("sm4"));
    for banned in ["yaoku", "actix", "actix-web", "redb", "serde_json", "tokio", "time", "getrandom", "rand"]
    {
        assert!(!dependencies.contains_key(banned), "{banned}");
    }
    for word in ["SystemTime", "Instant", "std::net", "std::process", "std::env"] {
        for source in sources("firmware-sim/src").iter().map(Source::product) {
            assert!(!source.has_word(word), "{} names {word}", source.path);
        }
    }
}

fn all_sources() -> Vec<Source> {
    sources("src").into_iter().chain(sources("firmware-sim/src")).collect()
}

#[test]
fn there_is_no_unsafe_code() {
    for source in all_sources() {
        assert!(!source.has_word("unsafe"), "{}", source.path);
    }
}

#[test]
fn files_have_at_most_500_lines() {
    let long = all_sources().into_iter().map(|source| (source.text.lines().count(), source.path));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > LINES_MAX).collect();
    assert!(long.is_empty(), "split by noun: {long:?}");
}

#[test]
fn every_module_opens_with_its_job() {
    let silent: Vec<String> = all_sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

const PATH_USERS: [&str; 1] = ["src/catalog.rs"];

#[test]
fn paths_of_operations_stand_in_the_catalog_only() {
    let paths: Vec<&str> = catalog::ROWS.iter().flat_map(|row| row.spec.paths).copied().collect();
    let folders = paths.iter().map(|path| format!("/{}/", path.split('/').nth(1).unwrap()));
    let folders: BTreeSet<String> = folders.collect();
    let is_path = |text: &&String| {
        folders.iter().any(|folder| text.starts_with(folder)) || paths.iter().any(|path| text.contains(path))
    };
    for source in sources("src").iter().map(Source::product) {
        let literal = source.literals.iter().find(is_path);
        assert_eq!(
            PATH_USERS.contains(&source.path.as_str()),
            literal.is_some(),
            "{}: {literal:?}",
            source.path
        );
    }
}

#[test]
fn actions_and_titles_of_operations_stand_in_the_catalog_only() {
    for source in sources("src").iter().map(Source::product).filter(|it| it.path != "src/catalog.rs") {
        for row in catalog::ROWS {
            let said = [row.spec.action, row.spec.title_zh, row.spec.title_en];
            let literal = source.literals.iter().find(|text| said.contains(&text.as_str()));
            assert_eq!(literal, None, "{}", source.path);
        }
    }
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap()
}

/// What stands between `before` and the next character that is not `inside`.
fn mentions<'a>(text: &'a str, before: &'a str, inside: fn(char) -> bool) -> Vec<&'a str> {
    let tails = text.match_indices(before).map(|(at, _)| &text[at + before.len()..]);
    tails
        .map(|tail| &tail[..tail.find(|c| !inside(c)).unwrap_or(tail.len())])
        .filter(|it| !it.is_empty())
        .collect()
}

#[test]
fn readme_calls_operations_that_exist_and_lists_all() {
    let readme = document("README.md");
    let called = mentions(&readme, "yaoku call ", |c| c.is_ascii_alphanumeric());
    let named = called.into_iter().filter(|name| !["OPERATION", "NAME"].contains(name));
    for name in named {
        assert!(catalog::by_name(name).is_some(), "README calls {name}");
    }
    let rows: Vec<&str> =
        readme.lines().filter(|line| line.starts_with("| ") && line.contains(" | /")).collect();
    let listed: BTreeSet<&str> =
        rows.iter().flat_map(|row| row.split('|').nth(1).unwrap().split(',')).map(str::trim).collect();
    let outside = catalog::ROWS.iter().filter(|row| !row.spec.paths.is_empty());
    assert_eq!(listed, outside.map(|row| row.spec.name).collect());
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for (name, path) in cells[1].split(", ").zip(cells[2].split(", ")) {
            assert_eq!(catalog::by_path(path).map(|row| row.spec.name), Some(name), "{path}");
        }
    }
}

#[test]
fn documents_name_settings_that_exist() {
    let defaults: toml::Table = DEFAULT.parse().unwrap();
    for name in [
        "README.md",
        "OPERATIONS.md",
        "ARCHITECTURE.md",
        "Dockerfile",
        "config/default.toml",
        "config/example.toml",
        "config/yaoku.service",
    ] {
        let text = document(name);
        for tail in mentions(&text, "YAOKU_", |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
            let variable = (format!("YAOKU_{tail}").into(), "?".into());
            let refused = Config::load(None, [variable].into_iter()).err().map(|error| error.to_string());
            assert!(!refused.is_some_and(|text| text.contains("names no setting")), "{name}: YAOKU_{tail}");
        }
        for (table, value) in defaults.iter().filter_map(|(table, value)| Some((table, value.as_table()?))) {
            for key in mentions(&text, &format!("`{table}."), |c| c.is_ascii_lowercase() || c == '_') {
                assert!(value.contains_key(key), "{name}: {table}.{key}");
            }
        }
    }
    Config::load(Some(&Path::new(ROOT).join("config/example.toml")), std::iter::empty()).unwrap();
}

#[test]
fn documents_link_to_files_that_exist() {
    for name in ["README.md", "OPERATIONS.md", "ARCHITECTURE.md"] {
        for link in mentions(&document(name), "](", |c| !matches!(c, ')' | '#')) {
            assert!(link.contains("://") || Path::new(ROOT).join(link).exists(), "{name}: {link}");
        }
    }
}
