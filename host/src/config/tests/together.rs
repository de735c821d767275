//! Several sources, warnings, the template and the examples.

use std::os::unix::fs::PermissionsExt;

use postroom_spool::DeletePolicy;

use super::*;

#[test]
fn fragments_are_read_in_the_order_of_their_names_and_variables_last() {
    let files = Files::new(GOOD);
    files.write("conf.d/20.toml", b"[accounts.home]\nport = 20\nuser = \"twenty\"\n");
    files.write(
        "conf.d/10.toml",
        b"[accounts.home]\nport = 10\nhost = \"ten.example\"\n[limits]\nworkers = 9\n",
    );
    files.write("conf.d/.hidden.toml", b"no = 1");
    files.write("conf.d/30.toml.bak", b"no = 1");
    let config =
        files.load(&[("POSTROOM_ACCOUNTS__HOME__POLL", "1h"), ("POSTROOM_LIMITS__WORKERS", "7")]).unwrap();
    let account = &config.accounts[&Name::new("home").unwrap()];
    assert_eq!((account.host.as_str(), account.port, account.user.as_str()), ("ten.example", 20, "twenty"));
    assert_eq!((account.poll, config.limits.workers), (Poll::every(Duration::from_secs(3600)), 7));
    assert_eq!(
        config.sources,
        ["postroom.toml", "conf.d/10.toml", "conf.d/20.toml"].map(|name| files.path(name))
    );
}

#[test]
fn a_mistake_in_a_fragment_is_shown_in_that_fragment() {
    let files = Files::new(GOOD);
    files.write("conf.d/10.toml", b"[accounts.home]\nport = \"x\"\n");
    files.write(
        "conf.d/20.toml",
        b"[[pipelines.main.steps]]\nplugin = \"filter\"\ngrants = { sinks = [\"gone\"] }\n",
    );
    let expected = r#"conf.d/10.toml:2:8: `accounts.home.port` must be a whole number from 0 to 65535, not a text
  |
2 | port = "x"
  |        ^^^
  = write it without quotes"#;
    assert_eq!(files.mistakes(&[]), expected);
    files.write("conf.d/10.toml", b"[accounts.home]\nport = 995\n");
    assert!(files.mistakes(&[]).starts_with("conf.d/20.toml:3:21: there is no sink `gone`"));
}

#[test]
fn every_file_that_is_not_toml_is_reported() {
    let files = Files::new("a = \n");
    files.write("conf.d/10.toml", b"b = \n");
    files.write("conf.d/20.toml", b"c\xff = 1\n");
    let text = files.mistakes(&[]);
    assert!(text.starts_with("3 mistakes"), "{text}");
    assert!(text.contains("conf.d/20.toml: line 1 is no UTF-8 text"), "{text}");
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let variables = [
        ("POSTROOM_ACCOUNTS__HOME__PASSWORD", CANARY),
        ("POSTROOM_ACCOUNTS__HOME__PORT", "abc"),
        ("POSTROOM_ACCOUNTS__HOME__USER", "123"),
        ("POSTROOM_LIMITS__ATEMPTS", "3"),
    ];
    let expected = r#"4 mistakes in the configuration

environment variable POSTROOM_ACCOUNTS__HOME__PASSWORD: `accounts.home.password`: a secret is never written into the configuration itself; write { file = "secrets/NAME" }, { env = "NAME" }, { command = ["program", "argument"] } or { credential = "NAME" }

environment variable POSTROOM_ACCOUNTS__HOME__PORT: `accounts.home.port` must be a whole number from 0 to 65535, not a text

environment variable POSTROOM_ACCOUNTS__HOME__USER: `accounts.home.user` must be a text in quotes, not a number; write quotes into it: '"123"'

environment variable POSTROOM_LIMITS__ATEMPTS: there is no key `atempts` in `limits`; did you mean `attempts`?"#;
    assert_eq!(Files::new(GOOD).mistakes(&variables), expected);
}

#[test]
fn variables_of_others_with_our_prefix_do_no_harm_and_a_misspelt_one_is_a_warning() {
    let others = [
        ("POSTROOM_PORT", "tcp://10.0.0.1:80"),
        ("POSTROOM_SERVICE_HOST", "10.0.0.1"),
        ("POSTROOM_LOG", "debug"),
        ("POSTROOM_CONFIG", "x"),
    ];
    let files = Files::new(GOOD);
    assert_eq!(files.load(&others).unwrap().warnings, Vec::<String>::new());
    let warnings = files.load(&[("POSTROOM_STAET", "/srv")]).unwrap().warnings;
    assert_eq!(
        warnings,
        ["the environment variable POSTROOM_STAET is not used: did you mean POSTROOM_STATE?"]
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = r#"[accounts.a]
host = "pop.example.net"
port = 995
tls = "starttls"
user = "me"
password = { env = "A" }
[accounts.b]
host = "POP.example.net"
port = 110
user = "me"
password = { env = "B" }
insecure_plaintext = "I accept"
[sinks.unused]
type = "directory"
path = "x"
[[pipelines.main.steps]]
plugin = "archive"
settings = { sink = "unused" }
[[pipelines.empty.steps]]
plugin = "archive"
[pipelines.empty]
accounts = []
"#;
    let files = Files::new(text);
    let directory = format!("{}/", files.path("").display()).replace("//", "/");
    let warnings: Vec<_> =
        files.load(&[]).unwrap().warnings.iter().map(|text| text.replace(&directory, "")).collect();
    let expected = [
        "postroom.toml:12: `insecure_plaintext` has no effect with TLS: remove it",
        "postroom.toml:3: port 995 usually goes with tls = \"implicit\"",
        "postroom.toml:9: port 110 usually goes with tls = \"starttls\"",
        "postroom.toml:7: `a` and `b` have the same host and user: all mail would be handled twice",
        "postroom.toml:21: no account's mail goes through the pipeline `empty`",
        "postroom.toml:18: the settings of step `archive` name the sink `unused`, but it is not granted: grants = { sinks = [\"unused\"] }",
        "postroom.toml:13: no step is granted the sink `unused`",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let files = Files::new(GOOD);
    let main = files.path("postroom.toml");
    let set_mode = |mode| std::fs::set_permissions(&main, std::fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o646);
    let text = files.mistakes(&[]);
    assert!(
        text.starts_with("postroom.toml: every user can change this file") && text.contains("chmod o-w"),
        "{text}"
    );
    set_mode(0o644);
    files.write("postroom.toml", format!("\u{feff}{GOOD}").as_bytes());
    assert!(files.load(&[]).is_ok(), "a byte order mark is no mistake");
    files.write("postroom.toml", &vec![b'#'; (1 << 20) + 1]);
    assert!(files.mistakes(&[]).contains("larger than 1 MiB"));
    std::fs::remove_file(&main).unwrap();
    assert!(files.mistakes(&[]).contains("there is no such file; `postroom init` writes one"));
    std::fs::create_dir(&main).unwrap();
    assert!(files.mistakes(&[]).contains("this is no regular file"));
}

#[test]
fn the_template_loads_without_a_warning_whatever_the_answers_are() {
    let strange = template::Answers {
        account: "shop-1".into(),
        host: "mail.example".into(),
        user: "a \"b\" \\ {c} ]]\u{e9}".into(),
        secret: "secrets/it's \"here\"".into(),
        archive: "C:\\x # no comment".into(),
    };
    for answers in [template::Answers::default(), strange] {
        let config = load(&template::render(&answers));
        assert_eq!(config.warnings, Vec::<String>::new());
        let account = &config.accounts[&Name::new(answers.account).unwrap()];
        assert_eq!((&account.user, &account.host), (&answers.user, &answers.host));
        assert_eq!(account.login, Login::Password(SecretRef::File(answers.secret.into())));
        let Some(SinkConfig::Directory(sink)) = config.sinks.values().next() else { panic!("a directory") };
        assert_eq!(sink.path, Path::new(&answers.archive));
    }
}

#[test]
fn what_the_template_has_in_comments_loads_too() {
    let template = template::render(&template::Answers::default());
    let is_config = |line: &str| line.starts_with("# ") && (line.contains(" = ") || line.starts_with("# ["));
    let prose = |line: &str| line.ends_with('.') || line.ends_with(':');
    let uncommented: Vec<_> = template
        .lines()
        .map(|line| if is_config(line) && !prose(line) { line.trim_start_matches("# ") } else { line })
        .collect();
    let config = load(&uncommented.join("\n"));
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.pipelines.values().map(|pipeline| pipeline.steps.len()).sum::<usize>(), 2);
    assert_ne!(config.accounts.values().next().unwrap().delete, DeletePolicy::Never);
}

#[test]
fn every_example_loads_without_a_warning() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/config");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let config =
            Config::load_in(&path, &Environment::default()).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.warnings, Vec::<String>::new(), "{}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["any-server.toml", "disk.toml", "forward.toml", "many-accounts.toml", "s3.toml"]);
}

#[test]
fn one_maildrop_in_two_accounts_is_refused() {
    let text = format!(
        "{GOOD}\n[accounts.again]\nhost = \"POP.example.net\"\nuser = \"me@example.net\"\npassword = {{ env = \"X\" }}\n"
    );
    let error = Files::new(&text).load(&[]).unwrap_err().to_string();
    assert!(error.contains("`again` and `home` are the same maildrop"), "{error}");
    assert!(Files::new(&format!("{text}enabled = false\n")).load(&[]).is_ok());
}
