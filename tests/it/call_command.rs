//! `yaoku call` and what belongs to it, by the real program: the list and the help against the catalog, typed fields, single
//! results, exit codes, profiles of both planes, completions and manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use yaoku::api::{Field, common_fields};
use yaoku::catalog::{ROWS, Row};
use yaoku::model::text::NO_CONTROLS;

use crate::program::{Home, error, failed, failed_with, finish, mode, walk};

fn callable() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| !row.spec.paths.is_empty())
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", error(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A command whose user has a configuration folder of their own.
fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env("XDG_CONFIG_HOME", home.path("config"));
    command
}

fn run(home: &Home, arguments: &[&str]) -> Output {
    finish(command(home, arguments), b"")
}

// What the catalog knows

#[test]
fn the_list_is_the_catalog() {
    let home = Home::new();
    let lines = text(&home.run(&["call", "--list"]));
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    let listed = text(&home.run(&["call", "--list", "--json"]));
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert!(lines.len() == callable().count() && listed.len() == lines.len());
    for ((row, line), object) in callable().zip(&lines).zip(&listed) {
        let spec = row.spec;
        assert_eq!([line[0], line[3], line[4]], [spec.name, spec.title_en, spec.title_zh]);
        assert!(line.len() == 5 && ["read", "write"].contains(&line[1]), "{line:?}");
        assert_eq!(object["name"], spec.name);
        assert_eq!(object["paths"], json!(spec.paths));
        assert_eq!(object["planes"].as_array().unwrap().len(), line[2].split(',').count());
    }
}

/// What the limits of a field are, as single words that a person looks for.
fn limits(field: &Field) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let names = field.schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let bounds = ["minimum", "maximum", "maxLength"].map(|name| field.schema.get(name));
    // That a text is Base64 or has no control characters is said in words.
    let said = |pattern: &&Value| field.schema.contains_key("contentEncoding") || **pattern == NO_CONTROLS;
    let bounds = bounds.into_iter().chain([field.schema.get("pattern").filter(|pattern| !said(pattern))]);
    names.chain(bounds.flatten()).map(word).collect()
}

#[test]
fn the_help_of_every_operation_says_what_the_catalog_knows() {
    let home = Home::new();
    for row in callable() {
        let spec = row.spec;
        let help = text(&home.run(&["call", spec.name, "--help"]));
        let words: Vec<&str> = help.split_whitespace().collect();
        let prose = words.join(" ");
        for said in [spec.title_zh, spec.title_en, spec.action, spec.paths[0], "yaoku call"] {
            assert!(prose.contains(said), "{}: no {said}", spec.name);
        }
        let description = row.description();
        assert!(
            prose.contains(&description.split_whitespace().collect::<Vec<_>>().join(" ")),
            "{description}"
        );
        for field in row.fields().iter().chain(&common_fields()) {
            let head = format!("  {}{}", field.name, if field.required { " (required)" } else { "" });
            assert!(help.lines().any(|line| line == head), "{}: no line {head:?}", spec.name);
            for limit in limits(field) {
                let is_number = limit.bytes().all(|byte| byte.is_ascii_digit());
                let mut bare = words.iter().map(|word| word.trim_matches([',', ';', ']']));
                let there = if is_number { bare.any(|word| word == limit) } else { prose.contains(&limit) };
                assert!(there, "{} {}: no {limit}", spec.name, field.name);
            }
        }
        for field in row.result_fields() {
            assert!(prose.contains(&field.name), "{}: no result {}", spec.name, field.name);
        }
    }
}

/// Pasted into a shell one after the other, the examples are calls that the service understands.
#[test]
fn the_example_of_every_help_is_a_call() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_yaoku"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut done = 0;
    for row in callable() {
        let help = text(&home.run(&["call", row.spec.name, "--help"]));
        let example = help.lines().last().unwrap().trim();
        assert!(example.starts_with("yaoku call"), "{example}");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", example])
            .env("PATH", &path)
            .env("YAOKU_DATA", &home.data)
            .env_remove("YAOKU_PROFILE");
        let output = finish(shell, b"");
        assert!([Some(0), Some(3)].contains(&output.status.code()), "{example}: {}", error(&output));
        done += usize::from(output.status.success());
    }
    assert!(done > 12, "only {done} of the examples were done");
}

// Fields, results and exit codes

#[test]
fn fields_are_sent_with_their_types() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let arguments =
        ["-f", "aliasName=alias/a", "-f", "enableAutomaticRotation=true", "-f", "rotationInterval=90d"];
    let made = run(&home, &[&["call", "createKey"], arguments.as_slice()].concat());
    let made: Value = serde_json::from_str(&text(&made)).unwrap();
    assert_eq!(made["automaticRotation"], "Enabled");
    home.call("createKey", &json!({}));
    let json = r#"{"pageSize":2,"notAField":[]}"#;
    let page = ["call", "listAliasKeys", "--json", json, "--field", "pageSize=1", "--get"];
    assert_eq!(text(&run(&home, &[page.as_slice(), &["pageSize"]].concat())), "1\n", "the field wins");
    let keys: Value =
        serde_json::from_str(&text(&run(&home, &[page.as_slice(), &["keys"]].concat()))).unwrap();
    assert_eq!(keys.as_array().unwrap().len(), 1);
    let steps = text(&run(&home, &[page.as_slice(), &["keys.0.cmkUuid"]].concat()));
    assert_eq!(steps.trim(), keys[0]["cmkUuid"]);
    failed(&run(&home, &[page.as_slice(), &["keys.1"]].concat()), &["the result has no keys.1"]);
    let uuid = text(&run(&home, &["call", "describeKey", "-f", "cmkUuid=alias/a", "--get", "cmkUuid"]));
    assert_eq!(uuid.trim(), made["cmkUuid"], "a text comes without quotes");
}

#[test]
fn bytes_go_in_and_out_without_base64() {
    let home = Home::new();
    let (_program, _) = home.serve();
    home.call("createKey", &json!({"aliasName": "alias/a"}));
    let bytes = b"\x00\xff secret\n\n";
    let context = r#"encryptionContext={"purpose":"demo"}"#;
    let seal = ["call", "encrypt", "-f", "cmkUuid=alias/a", "-f", context, "-f", "plaintext=@-"];
    let sealed =
        finish(command(&home, &[seal.as_slice(), &["--get", "ciphertextBlob", "--decode"]].concat()), bytes);
    assert!(sealed.status.success() && sealed.stdout.starts_with(b"0064"), "{}", error(&sealed));
    fs::write(home.path("sealed"), &sealed.stdout).unwrap();
    let open =
        ["call", "decrypt", "-f", "ciphertextBlob=@sealed", "-f", context, "--get", "plaintext", "--decode"];
    assert_eq!(run(&home, &open).stdout, bytes);
}

#[test]
fn an_object_comes_from_a_file_or_standard_input() {
    let home = Home::new();
    let (_program, _) = home.serve();
    fs::write(home.path("digest.json"), r#"{"input":"abc"}"#).unwrap();
    let digest = "Zsfw9GLu7dnR8tRr3BDk4kFnxIdc8veiKX2gK49LqOA=\n";
    for (json, input) in [("@digest.json", ""), ("-", r#"{"input":"abc"}"#)] {
        let arguments = ["call", "messageDigest", "--json", json, "--get", "output"];
        assert_eq!(text(&finish(command(&home, &arguments), input.as_bytes())), digest);
    }
}

/// There is no service: whoever ends with 2 has sent nothing.
#[test]
fn wrong_fields_end_with_2_before_anything_is_sent() {
    let home = Home::new();
    let wrong: [(&[&str], &str); 13] = [
        (&["describeKey", "-f", "cmkuuid=alias/a"], "did you mean cmkUuid?"),
        (&["describeKey", "-f", "colour=red"], "it has cmkUuid"),
        (&["describeKey", "-f", "cmkUuid"], "give a name and a value"),
        (&["describeKey", "-f", "cmkUuid=a", "--field", "cmkUuid=b"], "cmkUuid is given twice"),
        (&["listAliasKeys", "-f", "pageSize=many"], "give a whole number"),
        (&["createKey", "-f", "enableAutomaticRotation=1"], "give true or false"),
        (&["encrypt", "-f", "encryptionContext=purpose"], "give an object in JSON"),
        (&["encrypt", "--json", "-", "-f", "plaintext=@-"], "can be read once"),
        (&["createKey", "--get", "cmkUUID"], "did you mean cmkUuid?"),
        (&["createKey", "--get", "cmkUuid", "--decode"], "cmkUuid is not Base64"),
        (&["createKey", "--decode"], "--get"),
        (&["--list", "createKey"], "not both"),
        (&["--profile", "a b", "describeSystem"], "is no name of a profile"),
    ];
    for (arguments, reason) in wrong {
        failed_with(2, &run(&home, &[&["call"], arguments].concat()), &[reason]);
    }
}

#[test]
fn every_way_to_fail_has_its_exit_code() {
    let home = Home::new();
    let mut serve = home.command(&["serve"]);
    serve.env("YAOKU_RATES_RANDOM_OPENAPI", "0");
    let (program, ready) = home.serve_by(serve);
    let call = |arguments: &[&str]| run(&home, &[&["call"], arguments].concat());
    let help = text(&home.run(&["--help"]));
    let readme = include_str!("../../README.md");
    for code in 0..=6 {
        let meaning = help.lines().find_map(|line| line.strip_prefix(&format!("  {code}  "))).unwrap();
        assert!(
            readme.contains(&format!("| {code} | {meaning} |")),
            "README says otherwise: {code} {meaning}"
        );
    }
    assert_eq!(call(&["describeSystem"]).status.code(), Some(0));
    failed_with(1, &call(&["encrypt", "-f", "plaintext=@absent"]), &["cannot read absent"]);
    failed_with(2, &call(&["noSuch"]), &["there is no operation"]);
    failed_with(3, &call(&["describeKey", "-f", "cmkUuid=alias/a"]), &["KMS.9003", "(request "]);
    failed_with(5, &call(&["getRandom", "-f", "length=16"]), &["KMS.9050"]);
    let other = home.call("createAccount", &json!({"name": "second"}))["openapi"].take();
    add(&home, &["second", ready["openapi"].as_str().unwrap(), "openapi"], &other);
    failed_with(4, &call(&["runSelfTest", "--profile", "second"]), &["KMS.9044"]);
    let wrong = json!({"accessKey": other["accessKey"], "secretKey": "mistyped"});
    add(&home, &["wrong", ready["openapi"].as_str().unwrap(), "openapi"], &wrong);
    failed_with(4, &call(&["describeSystem", "--profile", "wrong"]), &["KMS.9040"]);
    drop(program);
    failed_with(6, &call(&["describeSystem", "--profile", "second"]), &["no connection"]);
}

// Profiles

/// Adds a profile of a name, an endpoint and a plane, with the CA of this service; the secret key is typed.
fn add(home: &Home, [name, endpoint, plane]: &[&str; 3], credential: &Value) {
    let ca = home.data.join("tls/ca.pem");
    let access_key = credential["accessKey"].as_str().unwrap();
    let options =
        ["--endpoint", endpoint, "--plane", plane, "--ca", ca.to_str().unwrap(), "--access-key", access_key];
    let secret = credential["secretKey"].as_str().unwrap();
    let output =
        finish(command(home, &[&["profile", "add", name], options.as_slice()].concat()), secret.as_bytes());
    assert!(!text(&output).contains(secret) && !error(&output).contains(secret));
}

#[test]
fn a_profile_has_a_name_and_is_for_nobody_else() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let secret = home.first()["openapi"]["secretKey"].as_str().unwrap().to_owned();
    text(&run(&home, &["profile", "add", "here"]));
    failed(&run(&home, &["profile", "add", "here"]), &["the profile here exists", "--force"]);
    text(&run(&home, &["profile", "add", "here", "--force"]));
    for path in walk(&home.path("config")) {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    fs::rename(home.data.join("first-run.json"), home.path("kept.json")).unwrap();
    failed(&run(&home, &["call", "describeSystem"]), &["first-run.json"]);
    assert_eq!(error(&run(&home, &["call", "describeSystem", "--profile", "here"])), "");
    assert_eq!(error(&run(&home, &["call", "--profile", "here", "describeSystem"])), "");
    let mut by_variable = command(&home, &["call", "describeSystem"]);
    by_variable.env("YAOKU_PROFILE", "here");
    text(&finish(by_variable, b""));
    let mut by_option = command(&home, &["call", "describeSystem", "--data", "elsewhere"]);
    by_option.env("YAOKU_PROFILE", "here");
    failed(&finish(by_option, b""), &["elsewhere/first-run.json"]);
    let listed = text(&run(&home, &["profile", "list"]));
    let listed_json = text(&run(&home, &["profile", "list", "--json"]));
    assert!(listed.starts_with("here\topenapi\thttps://127.0.0.1:"), "{listed}");
    assert!(!listed.contains(&secret) && !listed_json.contains(&secret));
    let listed: Value = serde_json::from_str(&listed_json).unwrap();
    assert_eq!(listed[0]["name"], "here");
    text(&run(&home, &["profile", "remove", "here"]));
    assert!(walk(&home.path("config")).iter().all(|path| path.is_dir()));
    failed(&run(&home, &["call", "describeSystem", "--profile", "here"]), &["here.json", "profile list"]);
}

/// A service finds the variable of its user's commands in its environment too.
#[test]
fn the_variable_of_a_profile_is_no_setting() {
    let home = Home::new();
    let mut serve = home.command(&["serve"]);
    serve.env("YAOKU_PROFILE", "elsewhere");
    home.serve_by(serve);
}

#[test]
fn a_wrong_profile_is_not_written() {
    let home = Home::new();
    home.run(&["init"]);
    let ca = home.data.join("tls/ca.pem");
    let ca = ca.to_str().unwrap();
    let wrong: [(&[&str], i32, &str); 6] = [
        (&["a", "--endpoint", "http://a", "--ca", ca, "--access-key", "k"], 1, "is not an address like"),
        (
            &["a", "--endpoint", "https://a", "--ca", "absent", "--access-key", "k"],
            1,
            "cannot read the CA file absent",
        ),
        (&["a", "--endpoint", "https://a", "--ca", ca], 2, "--access-key"),
        (&["../a"], 2, "is no name of a profile"),
        (&["a", "--secret-key", "s"], 2, "unexpected argument"),
        (&["a", "--data", "elsewhere"], 1, "elsewhere"),
    ];
    for (arguments, code, reason) in wrong {
        let output = finish(command(&home, &[&["profile", "add"], arguments].concat()), b"secret\n");
        failed_with(code, &output, &[reason]);
        assert!(!home.path("config").exists(), "{arguments:?}");
    }
}

#[test]
fn a_profile_that_others_may_read_is_pointed_out() {
    let home = Home::new();
    let (_program, _) = home.serve();
    text(&run(&home, &["profile", "add", "open"]));
    let path = home.path("config/yaoku/profiles/open.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let output = run(&home, &["call", "describeSystem", "--profile", "open"]);
    assert!(output.status.success() && error(&output).contains("chmod 600"), "{}", error(&output));
}

#[test]
fn a_profile_of_an_access_point_calls_what_applications_call() {
    let home = Home::new();
    let (_program, ready) = home.serve();
    home.call("createKey", &json!({"aliasName": "alias/a"}));
    let credential = home.call("createUserAk", &json!({"accessPointId": home.first()["accessPointId"]}));
    add(&home, &["application", ready["accessPoint"].as_str().unwrap(), "access-point"], &credential);
    let call = |arguments: &[&str]| run(&home, &[&["call", "--profile", "application"], arguments].concat());
    // An object has no form that can be signed: it goes as a string.
    let context = r#"encryptionContext={"purpose":"demo"}"#;
    let sealed = call(&[
        "encrypt",
        "-f",
        "cmkUuid=alias/a",
        "-f",
        "plaintext=aGVsbG8=",
        "-f",
        context,
        "--get",
        "ciphertextBlob",
    ]);
    let blob = format!("ciphertextBlob={}", text(&sealed).trim());
    assert_eq!(
        text(&call(&["decrypt", "-f", &blob, "-f", context, "--get", "plaintext", "--decode"])),
        "hello"
    );
    failed_with(3, &call(&["decrypt", "-f", &blob]), &["KMS.9028"]);
    assert_eq!(text(&call(&["listAliasKeys", "-f", "pageSize=7", "--get", "totalCount"])), "1\n");
    failed_with(
        2,
        &call(&["listUserAk", "-f", "accessPointId=a"]),
        &["listUserAk", "access-point", "other plane"],
    );
    fs::write(home.path("plain"), "hello").unwrap();
    let profile = ["--profile", "application"];
    text(&run(
        &home,
        &[&["encrypt-file", "--key", "alias/a", "plain", "sealed"], profile.as_slice()].concat(),
    ));
    text(&run(&home, &[&["decrypt-file", "sealed", "back"], profile.as_slice()].concat()));
    assert_eq!(fs::read(home.path("back")).unwrap(), b"hello");
    let records = home.call("queryAudit", &json!({"eventName": "encrypt"}));
    assert_eq!(records["records"][0]["eventSource"], "AAP");
}

// Completions and manual pages

/// What bash offers for the last of these words.
fn completed(home: &Home, words: &[&str]) -> BTreeSet<String> {
    // The function that the script registers; outside of a shell that completes, compopt complains.
    let script = "source ./yaoku.bash; f=$(complete -p yaoku); f=${f#*-F }; f=${f%% *}; \
                  COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  $f yaoku \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\" 2>/dev/null; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]).args(words).current_dir(home.folder.path());
    text(&finish(bash, b"")).lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_operations_and_their_fields() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&home.run(&["completions", shell]));
        assert!(callable().all(|row| script.contains(row.spec.name)), "{shell}");
        fs::write(home.path(&format!("yaoku.{shell}")), script).unwrap();
    }
    let offered = completed(&home, &["yaoku", "call", ""]);
    assert!(callable().all(|row| offered.contains(row.spec.name)), "{offered:?}");
    assert!(!offered.contains("rotateDueKey"));
    for row in callable() {
        let offered = completed(&home, &["yaoku", "call", row.spec.name, "--field", ""]);
        let fields = row.fields().into_iter().chain(common_fields());
        assert_eq!(offered, fields.map(|field| format!("{}=", field.name)).collect(), "{}", row.spec.name);
    }
    assert_eq!(
        completed(&home, &["yaoku", "call", "createK"]),
        ["createKey", "createKeyVersion"].map(str::to_owned).into()
    );
}

#[test]
fn the_manual_has_a_page_of_every_command_and_one_of_the_operations() {
    let home = Home::new();
    assert!(text(&home.run(&["man"])).contains(".TH yaoku 1"));
    text(&home.run(&["man", "--directory", "man"]));
    let pages: Vec<PathBuf> = walk(&home.path("man")).into_iter().filter(|path| path.is_file()).collect();
    for name in ["yaoku.1", "yaoku-call.1", "yaoku-serve.1", "yaoku-profile-add.1", "yaoku-operations.7"] {
        let page = home.path(&format!("man/man{}/{name}", &name[name.len() - 1..]));
        assert!(pages.contains(&page) && mode(&page) == 0o644, "{pages:?}");
    }
    assert_eq!(mode(&home.path("man/man7")), 0o755);
    let operations = fs::read_to_string(home.path("man/man7/yaoku-operations.7")).unwrap();
    for (row, next) in callable().zip(callable().skip(1).map(Some).chain([None])) {
        let start = operations.find(&format!(".SS {}\n", row.spec.name)).expect(row.spec.name);
        let end = next
            .map_or(operations.len(), |row| operations.find(&format!(".SS {}\n", row.spec.name)).unwrap());
        let section = &operations[start..end];
        assert!(section.contains(row.spec.title_zh), "{}", row.spec.name);
        for field in row.fields() {
            assert!(section.contains(&format!("\\fB{}\\fR", field.name)), "{} {}", row.spec.name, field.name);
        }
    }
    let groff = Command::new("groff").arg("--version").output().is_ok();
    if !groff {
        eprintln!("skipped: there is no groff to set the manual pages");
    }
    for page in pages.iter().filter(|_| groff) {
        let mut command = Command::new("groff");
        // A long pattern cannot be broken, and need not be.
        command.args(["-Kutf8", "-man", "-Tutf8", "-ww", "-Wbreak", "-z"]).arg(page);
        let output = finish(command, b"");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}: {}",
            page.display(),
            error(&output)
        );
    }
}
