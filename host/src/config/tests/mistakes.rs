//! Typical mistakes, each with the whole text it gets.

use super::*;

#[track_caller]
fn mistake(text: &str, expected: &str) {
    assert_eq!(Files::new(text).mistakes(&[]), expected);
}

#[test]
fn an_unknown_key_is_shown_where_it_is_with_the_key_it_was_meant_to_be() {
    mistake(
        &with("host =", "hots ="),
        r#"postroom.toml:2:1: there is no key `hots` in `accounts.home`
  |
2 | hots = …
  | ^^^^
  = did you mean `host`?"#,
    );
    mistake(
        &with("path =", "pth ="),
        r#"postroom.toml:8:1: there is no key `pth` in `sinks.vault`
  |
8 | pth = …
  | ^^^
  = did you mean `path`?"#,
    );
    mistake(
        &with("[sinks.vault]", "[sink.vault]"),
        r#"postroom.toml:6:2: there is no key `sink` in the configuration
  |
6 | [sink.vault]
  |  ^^^^
  = did you mean `sinks`?"#,
    );
    mistake(
        &before_user("colour = 3"),
        r#"postroom.toml:3:1: there is no key `colour` in `accounts.home`
  |
3 | colour = …
  | ^^^^^^
  = possible here: host, port, provider, tls, insecure_plaintext, user, password, oauth2, auth, ca_file, pins, tls_minimum, client_certificate, client_key, proxy, poll, timeout, pipeline, enabled, first, renumbered, delete, utf8, pipelining, silence"#,
    );
}

#[test]
fn a_value_of_another_kind_is_shown_with_what_it_must_be() {
    mistake(
        &before_user("port = \"995\""),
        r#"postroom.toml:3:8: `accounts.home.port` must be a whole number from 0 to 65535, not a text
  |
3 | port = "995"
  |        ^^^^^
  = write it without quotes"#,
    );
    mistake(
        &before_user("port = 99995"),
        r#"postroom.toml:3:8: `accounts.home.port` must be a whole number from 0 to 65535
  |
3 | port = 99995
  |        ^^^^^"#,
    );
    mistake(
        &before_user("enabled = \"yes\""),
        r#"postroom.toml:3:11: `accounts.home.enabled` must be true or false, not a text
  |
3 | enabled = "yes"
  |           ^^^^^
  = write true or false without quotes"#,
    );
    mistake(
        &with("path = \"mail\"", "path = 3"),
        r#"postroom.toml:8:8: `sinks.vault.path` must be a text in quotes, not a number
  |
8 | path = 3
  |        ^"#,
    );
    mistake(
        &before_grants("on_error = \"skip\""),
        r#"postroom.toml:12:12: `on_error` of step 1 of `pipelines.main` must be a table: { … }, not a text
   |
12 | on_error = "skip"
   |            ^^^^^^"#,
    );
    mistake(
        &with("[[pipelines.main.steps]]", "[pipelines.main.steps]"),
        r#"postroom.toml:10:17: `pipelines.main.steps` must be a list of tables
   |
10 | [pipelines.main.steps]
   |                 ^^^^^
   = each step is a table of its own: [[pipelines.main.steps]]"#,
    );
    mistake(
        "accounts = 3\n",
        r#"postroom.toml:1:1: `accounts` must be a table
  |
1 | accounts = …
  | ^^^^^^^^
  = write [accounts] on a line of its own, its keys below"#,
    );
}

#[test]
fn durations_and_sizes_say_how_they_are_written() {
    mistake(
        &before_user("poll = 5"),
        r#"postroom.toml:3:8: `accounts.home.poll`: "5" has no unit
  |
3 | poll = 5
  |        ^
  = did you mean "5s" (seconds) or "5m" (minutes)?"#,
    );
    mistake(
        &before_user("poll = \"5 bananas\""),
        r#"postroom.toml:3:8: `accounts.home.poll`: "5 bananas": there is no unit `bananas`
  |
3 | poll = "5 bananas"
  |        ^^^^^^^^^^^
  = the units are ms, s, m (minutes), h, d and w"#,
    );
    mistake(
        &format!("limits = {{ message = \"50 M\" }}\n{GOOD}"),
        r#"postroom.toml:1:22: `limits.message`: "50 M": there is no unit `M`
  |
1 | limits = { message = "50 M" }
  |                      ^^^^^^
  = did you mean "50 MiB"?"#,
    );
    mistake(
        &format!("limits = {{ message = -1 }}\n{GOOD}"),
        r#"postroom.toml:1:22: `limits.message` must be a size such as "10 MiB"
  |
1 | limits = { message = -1 }
  |                      ^^"#,
    );
}

#[test]
fn a_word_that_is_not_among_the_possible_ones_is_shown_with_the_nearest() {
    mistake(
        &before_user("tls = \"startls\""),
        r#"postroom.toml:3:7: `accounts.home.tls` cannot be "startls"
  |
3 | tls = "startls"
  |       ^^^^^^^^^
  = did you mean `starttls`?"#,
    );
    mistake(
        &with("type = \"directory\"", "type = \"dircetory\""),
        r#"postroom.toml:7:8: `sinks.vault.type` is no type of sink
  |
7 | type = "dircetory"
  |        ^^^^^^^^^^^
  = did you mean `directory`?"#,
    );
    mistake(
        &with("type = \"directory\"\n", ""),
        r#"postroom.toml:6:8: `sinks.vault` lacks `type`
  |
6 | [sinks.vault]
  |        ^^^^^
  = possible: directory, maildir, imap, s3, webhook, smtp, lmtp; for example type = "directory""#,
    );
    mistake(
        &before_grants("on_error = { then = \"ignore\" }"),
        r#"postroom.toml:12:21: `on_error.then` of step 1 of `pipelines.main` cannot be "ignore"
   |
12 | on_error = { then = "ignore" }
   |                     ^^^^^^^^
   = possible here: quarantine, skip"#,
    );
    mistake(
        &format!("log = {{ level = \"inof\" }}\n{GOOD}"),
        r#"postroom.toml:1:17: that is no log level
  |
1 | log = { level = "inof" }
  |                 ^^^^^^
  = did you mean `info`?"#,
    );
}

#[test]
fn a_key_that_has_to_be_there_is_asked_for_with_an_example() {
    mistake(
        &with("host = \"pop.example.net\"\n", ""),
        r#"postroom.toml:1:11: `accounts.home` lacks `host`
  |
1 | [accounts.home]
  |           ^^^^
  = for example host = "pop.example.net", or provider = "gmail""#,
    );
    mistake(
        &with("plugin = \"archive\"\n", ""),
        r#"postroom.toml:10:1: step 1 of `pipelines.main` lacks `plugin`
   |
10 | [[pipelines.main.steps]]
   | ^^^^^^^^^^^^^^^^^^^^^^^^
   = for example plugin = "archive""#,
    );
    mistake(
        &before_user("delete = { when = \"done\" }"),
        r#"postroom.toml:3:10: `accounts.home.delete`: `after` is missing: "7d" is a week after retrieval, "0s" as soon as it is done
  |
3 | delete = { when = "done" }
  |          ^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    mistake(
        &with("{ file = \"secrets/home\" }", "\"canary-hunter2-7f3a\" # hunter2"),
        r#"postroom.toml:4:12: `accounts.home.password`: a secret is never written into the configuration itself
  |
4 | password = …
  |            ^
  = write { file = "secrets/NAME" }, { env = "NAME" }, { command = ["program", "argument"] } or { credential = "NAME" }"#,
    );
    mistake(
        &with("password = { file = \"secrets/home\" }", "pasword = \"canary-hunter2-7f3a\""),
        r#"postroom.toml:4:1: there is no key `pasword` in `accounts.home`
  |
4 | pasword = …
  | ^^^^^^^
  = did you mean `password`?"#,
    );
    mistake(
        &with("{ file = \"secrets/home\" }", "canary-hunter2-7f3a"),
        r#"postroom.toml:4:12: this is not TOML: invalid string, expected `"`, `'`
  |
4 | password …
  |          ^
  = texts stand in quotes: host = "pop.example.net""#,
    );
    mistake(
        &with("{ file =", "{ flie ="),
        r#"postroom.toml:4:14: there is no key `flie` in `accounts.home.password`
  |
4 | password = { flie = … }
  |              ^^^^
  = did you mean `file`?"#,
    );
    mistake(
        &with("pop.example.net", "me:hunter2@pop.example.net"),
        r#"postroom.toml:2:1: `accounts.home.host` is no host name
  |
2 | host = …
  | ^^^^
  = the user has a key of its own: `user`"#,
    );
}

#[test]
fn what_is_not_toml_is_shown_where_it_ends_to_be() {
    mistake(
        &with("\"pop.example.net\"", "pop.example.net"),
        r#"postroom.toml:2:8: this is not TOML: invalid string, expected `"`, `'`
  |
2 | host = pop.example.net
  |        ^
  = texts stand in quotes: host = "pop.example.net""#,
    );
    mistake(
        &with("[sinks.vault]", "[sinks.vault"),
        r#"postroom.toml:6:13: this is not TOML: invalid table header, expected `.`, `]`
  |
6 | [sinks.vault
  |            ^"#,
    );
    mistake(
        &format!("{GOOD}\n[accounts.home]\n"),
        r#"postroom.toml:15:1: this is not TOML: duplicate key `home` in table `accounts`
   |
15 | [accounts.home]
   | ^"#,
    );
}

#[test]
fn a_name_that_nothing_has_is_shown_with_the_nearest() {
    mistake(
        &with("sinks = [\"vault\"]", "sinks = [\"valut\"]"),
        r#"postroom.toml:12:21: there is no sink `valut`
   |
12 | grants = { sinks = ["valut"] }
   |                     ^^^^^^^
   = did you mean `vault`?"#,
    );
    mistake(
        &before_user("pipeline = \"mian\""),
        r#"postroom.toml:3:12: there is no pipeline `mian`
  |
3 | pipeline = "mian"
  |            ^^^^^^
  = did you mean `main`?"#,
    );
    mistake(
        &format!("{GOOD}[pipelines.other]\naccounts = [\"hoem\"]\nsteps = [{{ plugin = \"filter\" }}]\n"),
        r#"postroom.toml:15:13: there is no account `hoem`
   |
15 | accounts = ["hoem"]
   |             ^^^^^^
   = did you mean `home`?"#,
    );
    mistake(
        &before_grants("when = { account = \"hme\", label = [\"a b\"] }"),
        r#"postroom.toml:12:36: `when.label.0` of step 1 of `pipelines.main`: label "a b": must be 1 to 64 letters, digits, '-', '_', '.', '/' or ':'
   |
12 | when = { account = …, label = ["a b"] }
   |                                ^^^^^"#,
    );
    mistake(
        &before_grants("when = { account = \"hme\" }"),
        r#"postroom.toml:12:20: there is no account `hme`
   |
12 | when = { account = "hme" }
   |                    ^^^^^
   = did you mean `home`?"#,
    );
}

#[test]
fn an_account_has_exactly_one_pipeline() {
    let second = "[[pipelines.other.steps]]\nplugin = \"filter\"\n";
    mistake(
        &format!("{GOOD}{second}"),
        r#"postroom.toml:1:11: the account `home` could go through several pipelines
  |
1 | [accounts.home]
  |           ^^^^
  = say which with `pipeline`: it could be `main`, `other`"#,
    );
    mistake(
        &format!("{}{second}[pipelines.other]\naccounts = [\"home\"]\n", before_user("pipeline = \"main\"")),
        r#"postroom.toml:18:13: the account `home` is in the pipelines `main` and `other`
   |
18 | accounts = ["home"]
   |             ^^^^^^
   = an account's mail goes through one pipeline only"#,
    );
    mistake(
        &format!("{}[pipelines.main]\naccounts = []\n", GOOD),
        r#"postroom.toml:1:11: the account `home` has no pipeline
  |
1 | [accounts.home]
  |           ^^^^
  = name one with `pipeline`, or name the account in the `accounts` of a pipeline"#,
    );
}

#[test]
fn a_pipeline_without_steps_and_an_empty_file_are_refused() {
    let (accounts, _) = GOOD.split_once("[[pipelines").unwrap();
    mistake(
        &format!("{accounts}[pipelines.main]\n"),
        r#"postroom.toml:10:12: the pipeline `main` has no steps
   |
10 | [pipelines.main]
   |            ^^^^
   = add one: [[pipelines.main.steps]] with plugin = "archive""#,
    );
    mistake(
        "",
        r#"2 mistakes in the configuration

postroom.toml: there is no account; add one, [accounts.NAME] with host, user and password; `postroom init` writes a file to start from

postroom.toml: there is no pipeline; add its first step: [[pipelines.main.steps]] with plugin = "archive""#,
    );
}

#[test]
fn deletion_without_a_required_step_is_refused_with_the_reason() {
    let text = before_user("delete = { when = \"done\", after = \"7d\" }");
    mistake(
        &text.replace("grants =", "required = false\ngrants ="),
        r#"postroom.toml:3:10: mail of `home` is to be deleted at the server, but no step of the pipeline `main` is required: nothing would prove that there is a copy
  |
3 | delete = { when = "done", after = "7d" }
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = set `required = true` on the step that makes the copy, or `delete = "never"` here"#,
    );
}

#[test]
fn a_connection_in_the_clear_is_refused_with_the_danger() {
    mistake(
        &before_user("tls = \"none\""),
        r#"postroom.toml:3:7: without TLS anyone on the network can read the password and all mail, and change it
  |
3 | tls = "none"
  |       ^^^^^^
  = use tls = "implicit"; if it has to be: insecure_plaintext = "I accept that anyone on the network can read my password and mail""#,
    );
    mistake(
        &before_user("tls = \"none\"\ninsecure_plaintext = \"yes\""),
        r#"postroom.toml:3:7: without TLS anyone on the network can read the password and all mail, and change it
  |
3 | tls = "none"
  |       ^^^^^^
  = use tls = "implicit"; if it has to be: insecure_plaintext = "I accept that anyone on the network can read my password and mail""#,
    );
}

#[test]
fn limits_out_of_range_and_a_pin_that_is_none_are_refused() {
    mistake(
        &before_grants("limits = { memory = \"2 GiB\" }"),
        r#"postroom.toml:12:10: `limits` of step 1 of `pipelines.main`: limit memory = 2147483648 is out of range: 1048576 to 268435456
   |
12 | limits = { memory = "2 GiB" }
   |          ^^^^^^^^^^^^^^^^^^^^"#,
    );
    mistake(
        &before_grants("sha256 = \"abc\""),
        r#"postroom.toml:12:10: `sha256` of step 1 of `pipelines.main`: it must be 64 hexadecimal digits
   |
12 | sha256 = "abc"
   |          ^^^^^
   = `postroom plugin inspect` shows it"#,
    );
    mistake(
        &format!("limits = {{ workers = 0 }}\n{GOOD}"),
        r#"postroom.toml:1:22: `limits.workers` must be from 1 to 256
  |
1 | limits = { workers = 0 }
  |                      ^"#,
    );
    mistake(
        &format!("limits = {{ spool = \"1 KiB\", waiting = 0 }}\n{GOOD}"),
        r#"2 mistakes in the configuration

postroom.toml:1:20: `limits.spool` must be from 1 MiB to 1024 TiB
  |
1 | limits = { spool = "1 KiB", waiting = … }
  |                    ^^^^^^^

postroom.toml:1:39: `limits.waiting` must be at least 1
  |
1 | limits = { spool = …, waiting = 0 }
  |                                 ^"#,
    );
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once_in_its_order() {
    let text = with("host =", "hots =")
        .replace("path = \"mail\"", "path = 3\nmod = 1")
        .replace("plugin =", "plugn =");
    mistake(
        &format!("colour = 1\nlimits = {{ workers = \"2\", atempts = 1 }}\n{text}"),
        r#"7 mistakes in the configuration

postroom.toml:1:1: there is no key `colour` in the configuration
  |
1 | colour = …
  | ^^^^^^
  = possible here: state, never_delete, limits, accounts, sinks, fetch, registries, keys, pipelines, log

postroom.toml:2:22: `limits.workers` must be a whole number, not a text
  |
2 | limits = { workers = "2", atempts = … }
  |                      ^^^
  = write it without quotes

postroom.toml:2:27: there is no key `atempts` in `limits`
  |
2 | limits = { workers = …, atempts = … }
  |                         ^^^^^^^
  = did you mean `attempts`?

postroom.toml:4:1: there is no key `hots` in `accounts.home`
  |
4 | hots = …
  | ^^^^
  = did you mean `host`?

postroom.toml:10:8: `sinks.vault.path` must be a text in quotes, not a number
   |
10 | path = 3
   |        ^

postroom.toml:11:1: there is no key `mod` in `sinks.vault`
   |
11 | mod = …
   | ^^^
   = did you mean `mode`?

postroom.toml:14:1: there is no key `plugn` in step 1 of `pipelines.main`
   |
14 | plugn = …
   | ^^^^^
   = did you mean `plugin`?"#,
    );
}

#[test]
fn mistakes_of_a_target_are_shown_where_they_are_and_its_url_is_not() {
    let fetch = |lines: &str| with("[[pipelines", &format!("[fetch.crm]\n{lines}\n\n[[pipelines"));
    mistake(
        &fetch("url = \"https://crm.example/\"\nmethod = [\"get\"]"),
        r#"postroom.toml:12:1: there is no key `method` in `fetch.crm`
   |
12 | method = […]
   | ^^^^^^
   = did you mean `methods`?"#,
    );
    mistake(
        &fetch(&format!("url = \"https://me:{CANARY}@crm.example/\"")),
        r#"postroom.toml:11:7: target `crm`: `url` may not hold a user or a password
   |
11 | url = …
   |       ^
   = `headers` or `bearer` refer to credentials"#,
    );
    mistake(
        &fetch(&format!("url = \"https://crm.example/\"\nheaders = {{ Authorization = \"{CANARY}\" }}")),
        r#"postroom.toml:12:29: `fetch.crm.headers.Authorization`: a secret is never written into the configuration itself
   |
12 | headers = { Authorization = … }
   |                             ^
   = write { file = "secrets/NAME" }, { env = "NAME" }, { command = ["program", "argument"] } or { credential = "NAME" }"#,
    );
    mistake(
        &fetch("url = \"https://crm.example/\"\nprivate = [\"10.1.2.3/24\"]"),
        r#"postroom.toml:12:12: `fetch.crm.private.0`: "10.1.2.3/24" does not begin its block
   |
12 | private = […]
   |            ^
   = did you mean "10.1.2.0/24"?"#,
    );
    mistake(
        &with("sinks = [\"vault\"]", "sinks = [\"vault\"], fetch = [\"crm\"]"),
        r#"postroom.toml:12:40: there is no target `crm` to fetch from
   |
12 | grants = { sinks = […], fetch = ["crm"] }
   |                                  ^^^^^
   = define it: [fetch.crm]"#,
    );
}
