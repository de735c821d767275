//! What holds when nothing is said, and that everything that can be said arrives.

use std::time::Duration;

use postroom_pop3::Mechanism;
use postroom_sandbox::CompileLimits;
use postroom_spool::DeletePolicy;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn every_documented_default_holds() {
    let files = Files::new(GOOD);
    let config = files.load(&[]).unwrap();
    assert_eq!(config.base, files.path(""));
    assert_eq!(config.state, files.path("postroom-state"));
    assert_eq!(config.sources, [files.path("postroom.toml")]);
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(
        config.limits,
        Limits {
            message: 50 << 20,
            attempts: 3,
            keep_bodies: 7 * DAY,
            workers: 2,
            sessions: 64,
            sessions_per_host: 4,
            free_space: 256 << 20,
            spool: 10 << 30,
            waiting: 100_000,
            in_flight: 256 << 20,
            compile: CompileLimits::default(),
        }
    );
    assert_eq!(config.log, LogConfig { level: "info".into(), format: LogFormat::Text });
    let account = AccountConfig {
        host: "pop.example.net".into(),
        port: 995,
        tls: TlsMode::Implicit,
        trust: postroom_dial::Trust::default(),
        proxy: None,
        user: "me@example.net".into(),
        login: Login::Password(SecretRef::File("secrets/home".into())),
        auth: Auth::Auto,
        provider: None,
        poll: Poll::every(5 * MINUTE),
        timeout: MINUTE,
        pipeline: name("main"),
        enabled: true,
        first: First::All,
        renumbered: Renumbered::Match,
        delete: DeletePolicy::Never,
        utf8: false,
        pipelining: true,
        silence: Silence::Rhythm,
    };
    assert!(!config.never_delete);
    assert_eq!(config.accounts, BTreeMap::from([(name("home"), account)]));
    let step = StepConfig {
        name: name("archive"),
        plugin: PluginRef::Bundled("archive".into()),
        sha256: None,
        signed_by: None,
        grants: Grants { sinks: vec![name("vault")], ..Grants::default() },
        settings: serde_json::json!({ "sink": "vault" }),
        files: Vec::new(),
        required: true,
        when: When::default(),
        on_error: OnError { retry: None, then: Then::Quarantine },
        limits: postroom_sandbox::Limits::default(),
        breaker: BreakerConfig { failures: 20, within: 5 * MINUTE, fall_back: true },
        shadow: None,
    };
    assert_eq!(config.pipelines, BTreeMap::from([(name("main"), PipelineConfig { steps: vec![step] })]));
    assert!(matches!(config.sinks.get(&name("vault")), Some(SinkConfig::Directory(_))));
}

#[test]
fn everything_that_is_written_arrives() {
    let text = r#"
        state = "var/state"
        [limits]
        message = "1.5 MB"
        attempts = 5
        keep_bodies = "1h30m"
        workers = 4
        sessions = 9
        sessions_per_host = 2
        free_space = "1 GiB"
        spool = "2 GiB"
        waiting = 500
        in_flight = "64 MiB"
        compile_cpu = "60s"
        compile_memory = "2 GiB"
        [accounts.shop]
        host = "mail.example"
        tls = "starttls"
        user = "shop"
        password = { command = ["pass", "shop"] }
        auth = "user-pass"
        ca_file = "own/ca.pem"
        poll = "90s"
        timeout = "30s"
        enabled = false
        delete = { when = "done", after = "2d", keep = 10, over = "1 GiB" }
        pins = ["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "sha256/BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
        tls_minimum = "1.3"
        client_certificate = "own/me.pem"
        client_key = "own/me.key"
        proxy = { socks5 = "[::1]:1080", user = "u", password = { env = "PROXY" } }
        first = { days = 30 }
        renumbered = "hold"
        pipelining = false
        utf8 = true
        silence = "3d"
        [sinks.box]
        type = "maildir"
        path = "box"
        [[pipelines.p.steps]]
        plugin = "./mine/My Filter.wasm"
        sha256 = "00000000000000000000000000000000000000000000000000000000000000ff"
        grants = { sinks = ["box", "box"], discard = true, kv = true }
        when = { account = "shop", label = ["A", "b"], not_label = "junk" }
        on_error = { retry = "5d", then = "skip" }
        limits = { component = "20 MiB", memory = "32 MiB", cpu = "1s", wall = "10s", effects = 3, log = 1000, handles = 99, table_elements = 98, random_octets = "97 B", log_rate = "96 KiB", kv_ops = 95 }
        breaker = { failures = 3, within = "1h", fall_back = false }
        shadow = "./mine/next.wasm"
        shadow_sha256 = "00000000000000000000000000000000000000000000000000000000000000fe"
        shadow_settings = { number = 4 }
        [pipelines.p.steps.settings]
        since = 2026-01-02
        number = -3
        half = 0.5
        list = [1, "two"]
        [[pipelines.p.steps]]
        name = "last"
        plugin = "archive"
        required = false
        [log]
        level = "postroom=debug"
        format = "json"
    "#;
    let files = Files::new(text);
    let config = files.load(&[]).unwrap();
    assert_eq!(config.state, files.path("var/state"));
    assert_eq!(
        config.limits,
        Limits {
            message: 1_500_000,
            attempts: 5,
            keep_bodies: 90 * MINUTE,
            workers: 4,
            sessions: 9,
            sessions_per_host: 2,
            free_space: 1 << 30,
            spool: 2 << 30,
            waiting: 500,
            in_flight: 64 << 20,
            compile: CompileLimits { cpu: Duration::from_secs(60), memory: 2 << 30 },
        }
    );
    assert_eq!(config.log, LogConfig { level: "postroom=debug".into(), format: LogFormat::Json });
    let account = &config.accounts[&name("shop")];
    assert_eq!(
        (account.port, account.tls, account.auth),
        (110, TlsMode::Starttls, Auth::Only(Mechanism::UserPass))
    );
    let trust = &account.trust;
    assert_eq!(trust.ca_file, Some(files.path("own/ca.pem")));
    assert_eq!((trust.pins.len(), trust.minimum), (2, postroom_dial::Version::Tls13));
    let identity = trust.identity.as_ref().unwrap();
    assert_eq!(
        (&identity.certificate, &identity.key),
        (&files.path("own/me.pem"), &files.path("own/me.key"))
    );
    let proxy = account.proxy.as_ref().unwrap();
    assert_eq!((proxy.host.as_str(), proxy.port), ("::1", 1080));
    assert_eq!(proxy.login, Some(("u".into(), SecretRef::Env("PROXY".into()))));
    assert_eq!((account.first, account.renumbered), (First::Days(30), Renumbered::Hold));
    assert_eq!((account.pipelining, account.utf8, account.silence), (false, true, Silence::After(3 * DAY)));
    assert_eq!(
        (account.poll, account.timeout, account.enabled),
        (Poll::every(MINUTE + MINUTE / 2), MINUTE / 2, false)
    );
    assert_eq!(account.delete, DeletePolicy::Done { after: 2 * DAY, keep: Some(10), over: Some(1 << 30) });
    let [step, last] = config.pipelines[&name("p")].steps.as_slice() else { panic!("two steps") };
    assert_eq!(step.name, name("My-Filter"));
    assert_eq!(step.plugin, PluginRef::File(files.path("mine/My Filter.wasm")));
    assert_eq!(step.sha256.map(|digest| digest.0[31]), Some(255));
    assert_eq!(step.breaker, BreakerConfig { failures: 3, within: 60 * MINUTE, fall_back: false });
    let shadow = step.shadow.as_ref().unwrap();
    assert_eq!(shadow.plugin, PluginRef::File(files.path("mine/next.wasm")));
    assert_eq!(shadow.sha256.map(|digest| digest.0[31]), Some(254));
    assert_eq!(shadow.settings, Some(serde_json::json!({ "number": 4 })));
    assert_eq!(
        step.grants,
        Grants { sinks: vec![name("box")], discard: true, kv: true, ..Grants::default() }
    );
    let label = |text| Label::new(text).unwrap();
    let when = When {
        account: vec![name("shop")],
        label: vec![label("a"), label("b")],
        not_label: vec![label("junk")],
    };
    assert_eq!(step.when, when);
    assert_eq!(step.on_error, OnError { retry: Some(5 * DAY), then: Then::Skip });
    assert_eq!((step.limits.memory, step.limits.effects, step.limits.log_octets), (32 << 20, 3, 1000));
    let more = (step.limits.handles, step.limits.table_elements, step.limits.random_octets);
    assert_eq!((more, step.limits.log_rate, step.limits.kv_ops), ((99, 98, 97), 96 << 10, 95));
    assert_eq!(step.limits.component, 20 << 20);
    assert_eq!((step.limits.cpu, step.limits.wall), (Duration::from_secs(1), Duration::from_secs(10)));
    let settings =
        serde_json::json!({ "since": "2026-01-02", "number": -3, "half": 0.5, "list": [1, "two"] });
    assert_eq!(step.settings, settings);
    assert_eq!((last.name.as_str(), last.required, &last.settings), ("last", false, &serde_json::json!({})));
}

#[test]
fn steps_without_a_name_get_their_plugins_made_unique() {
    let step = "[[pipelines.main.steps]]\nplugin = \"archive\"\n";
    let text =
        format!("{GOOD}{step}{step}[[pipelines.main.steps]]\nname = \"archive-2\"\nplugin = \"x.wasm\"\n");
    let config = load(&text);
    let names: Vec<_> = config.pipelines[&name("main")].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["archive", "archive-3", "archive-4", "archive-2"]);
    let mut taken = std::collections::BTreeSet::new();
    let strange = ["", "///", "ä.wasm", "x.y.wasm"]
        .map(|plugin| resolve::steps::default_name(plugin, &mut taken).to_string());
    assert_eq!(strange, ["step", "---", "-", "x-y"]);
}

#[test]
fn the_state_is_where_it_is_configured_else_where_the_service_manager_says() {
    let files = Files::new(GOOD);
    let state = |variables: &[(&str, &str)]| files.load(variables).unwrap().state;
    assert_eq!(state(&[("STATE_DIRECTORY", "/var/lib/x:/var/lib/y")]), Path::new("/var/lib/x"));
    assert_eq!(state(&[("STATE_DIRECTORY", "")]), files.path("postroom-state"));
    assert_eq!(
        state(&[("STATE_DIRECTORY", "/var/lib/x"), ("POSTROOM_STATE", "/srv/mail")]),
        Path::new("/srv/mail")
    );
    let service = resolve::state(None, Path::new("/etc/postroom"), &Environment::default());
    assert_eq!(service, Path::new("/var/lib/postroom"));
}

#[test]
fn a_plugin_with_a_slash_or_the_ending_is_a_file() {
    let base = Path::new("/etc/postroom");
    assert_eq!(PluginRef::parse("filter", base).unwrap(), PluginRef::Bundled("filter".into()));
    assert_eq!(
        PluginRef::parse("mine.wasm", base).unwrap(),
        PluginRef::File("/etc/postroom/mine.wasm".into())
    );
    assert_eq!(PluginRef::parse("./mine", base).unwrap(), PluginRef::File("/etc/postroom/mine".into()));
    assert_eq!(PluginRef::parse("/opt/mine", base).unwrap(), PluginRef::File("/opt/mine".into()));
}

#[test]
fn the_file_is_the_one_that_is_named_else_the_first_usual_one_that_exists() {
    assert_eq!(Config::find(Some(Path::new("x/y.toml"))).unwrap(), Path::new("x/y.toml"));
    let files = Files::new(GOOD);
    let found = find_among([&files.path("none.toml"), &files.path("postroom.toml")]).unwrap();
    assert_eq!(found, files.path("postroom.toml"));
    let error = find_among([Path::new("none-a.toml"), Path::new("none-b.toml")]).unwrap_err().to_string();
    let expected = "there is no configuration: neither none-a.toml nor none-b.toml exists; name one with --config, or write one to \
                    start from with `postroom init`";
    assert_eq!(error, expected);
}

#[test]
fn consent_to_plaintext_is_accepted_in_exactly_these_words() {
    let config = load(&before_user(&format!("tls = \"none\"\ninsecure_plaintext = \"{PLAINTEXT_CONSENT}\"")));
    let account = &config.accounts[&name("home")];
    assert_eq!((account.tls, account.port), (TlsMode::None, 110));
}

#[test]
fn an_account_without_a_pipeline_gets_the_one_that_is_left_over() {
    let account = |id: &str, more: &str| {
        format!(
            "[accounts.{id}]\nhost = \"h.example\"\nuser = \"{id}\"\npassword = {{ env = \"P\" }}\n{more}\n"
        )
    };
    let pipeline = |name: &str| format!("[[pipelines.{name}.steps]]\nplugin = \"archive\"\n");
    let assigned = |text: &str| -> Vec<String> {
        load(text).accounts.values().map(|account| account.pipeline.to_string()).collect()
    };
    let two = pipeline("main") + &pipeline("orders");
    assert_eq!(
        assigned(&(account("a", "") + &account("b", "pipeline = \"orders\"") + &two)),
        ["main", "orders"]
    );
    assert_eq!(
        assigned(&(account("a", "") + &account("b", "") + &two + "[pipelines.orders]\naccounts = [\"b\"]\n")),
        ["main", "orders"]
    );
    assert_eq!(
        assigned(&(account("a", "") + &account("b", "pipeline = \"main\"") + &pipeline("main"))),
        ["main", "main"]
    );
}

#[test]
fn a_bare_file_name_is_beside_the_current_directory() {
    let here = std::env::current_dir().unwrap();
    assert_eq!(resolve::base(Path::new("postroom.toml")).unwrap(), here);
    assert_eq!(resolve::base(Path::new("./postroom.toml")).unwrap(), here);
    assert_eq!(resolve::base(Path::new("etc/postroom.toml")).unwrap(), here.join("etc"));
    assert_eq!(resolve::base(Path::new("/etc/postroom/postroom.toml")).unwrap(), Path::new("/etc/postroom"));
}
