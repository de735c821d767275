//! How a Dovecot differs from the usual one, and the configuration that follows. Must not write a file or start anything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::process::{self, User};

/// Whom a Dovecot serves, and how.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) users: Vec<(String, String)>,
    pub(super) uidl_format: String,
    pub(super) token_key: Option<String>,
    mechanisms: String,
    cleartext: bool,
    sessions: u32,
    delivery: Option<Delivery>,
}

/// What takes mail: IMAP over TLS from the first octet, and LMTP at a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    /// Room of each user in KiB; without an end when 0.
    quota: u32,
}

impl Setup {
    /// The usual one, for users given as name and password: PLAIN, and only over TLS.
    #[must_use]
    pub fn new(users: &[(&str, &str)]) -> Self {
        let owned = |&(name, password): &(&str, &str)| (name.to_owned(), password.to_owned());
        Self {
            users: users.iter().map(owned).collect(),
            uidl_format: "%08Xu%08Xv".to_owned(),
            token_key: None,
            mechanisms: "plain".to_owned(),
            cleartext: false,
            sessions: 100,
            delivery: None,
        }
    }

    /// Offers these mechanisms, in Dovecot's words with blanks between, e.g. `plain scram-sha-256 apop`.
    #[must_use]
    pub fn mechanisms(mut self, mechanisms: &str) -> Self {
        mechanisms.clone_into(&mut self.mechanisms);
        self
    }

    /// Takes access tokens by XOAUTH2 and OAUTHBEARER: JSON Web Tokens signed by HS256 with this key, in base64.
    #[must_use]
    pub fn tokens(mut self, key: &str) -> Self {
        self.token_key = Some(key.to_owned());
        self.mechanisms.push_str(" xoauth2 oauthbearer");
        self
    }

    /// Forms unique-ids so (Dovecot's `pop3_uidl_format`).
    #[must_use]
    pub fn uidl_format(mut self, format: &str) -> Self {
        format.clone_into(&mut self.uidl_format);
        self
    }

    /// Takes passwords without TLS, too.
    #[must_use]
    pub fn cleartext(mut self) -> Self {
        self.cleartext = true;
        self
    }

    /// Serves so many sessions at once; 100 when nothing is said.
    #[must_use]
    pub fn sessions(mut self, sessions: u32) -> Self {
        self.sessions = sessions;
        self
    }

    /// Also takes mail, by IMAP and by LMTP (Debian `dovecot-imapd` and `dovecot-lmtpd`). Users are then named without a
    /// domain, whatever is after the `@`.
    #[must_use]
    pub fn delivery(mut self) -> Self {
        self.delivery = Some(Delivery::default());
        self
    }

    /// The same, with so much room for each user, in KiB.
    #[must_use]
    pub fn quota(mut self, kib: u32) -> Self {
        self.delivery = Some(Delivery { quota: kib });
        self
    }

    pub(super) fn passwords(&self) -> String {
        // Clear text is what every mechanism can be checked with.
        self.users.iter().map(|(name, password)| format!("{name}:{{PLAIN}}{password}::::::\n")).collect()
    }

    pub(super) fn configuration(
        &self,
        root: &Path,
        owner: &User,
        implicit: SocketAddr,
        stls: SocketAddr,
        imap: SocketAddr,
    ) -> String {
        let Self { mechanisms, uidl_format, sessions, .. } = self;
        let tokens = self.token_key.as_ref().map(|_| token_passdb(root)).unwrap_or_default();
        let (tls, clear) = if self.cleartext { ("yes", "no") } else { ("required", "yes") };
        let (more, delivery) = match self.delivery {
            Some(delivery) => (" imap lmtp", services(root, delivery, imap, *sessions)),
            None => ("", String::new()),
        };
        let root = root.display();
        let User { name, group, .. } = owner;
        let (implicit, stls) = (implicit.port(), stls.port());
        // Root starts each service as Debian's own users; anybody else can only be himself, and cannot change the root
        // directory.
        let users = if process::is_root() {
            String::new()
        } else {
            format!(
                "default_internal_user = {name}\ndefault_internal_group = {group}\ndefault_login_user = {name}\n"
            )
        };
        format!(
            "protocols = pop3{more}
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
listen = 127.0.0.1
{users}first_valid_uid = 1
ssl = {tls}
ssl_cert = <{root}/cert.pem
ssl_key = <{root}/key.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = {clear}
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
mail_location = maildir:{root}/mail/%n/Maildir
mail_max_userip_connections = 0
{tokens}passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/passwd
}}
userdb {{
  driver = static
  args = uid={name} gid={group} home={root}/mail/%n
}}
service pop3-login {{
  chroot =
  process_limit = {sessions}
  inet_listener pop3 {{
    port = {stls}
  }}
  inet_listener pop3s {{
    port = {implicit}
    ssl = yes
  }}
}}
service pop3 {{
  process_limit = {sessions}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
protocol pop3 {{
  pop3_uidl_format = {uidl_format}
  pop3_no_flag_updates = yes
  pop3_lock_session = yes
}}
{delivery}"
        )
    }
}

fn services(root: &Path, delivery: Delivery, imap: SocketAddr, sessions: u32) -> String {
    let (socket, port) = (lmtp_socket(root), imap.port());
    let (plugins, rule) = match delivery.quota {
        0 => ("", String::new()),
        kib => (
            "quota",
            format!("plugin {{\n  quota = maildir:User quota\n  quota_rule = *:storage={kib}K\n}}\n"),
        ),
    };
    format!(
        "auth_username_format = %n
postmaster_address = postmaster@dovecot.example
mail_plugins = {plugins}
{rule}namespace inbox {{
  inbox = yes
}}
service imap-login {{
  chroot =
  process_limit = {sessions}
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service lmtp {{
  unix_listener {} {{
    mode = 0666
  }}
}}
",
        socket.display()
    )
}

pub(super) fn lmtp_socket(root: &Path) -> PathBuf {
    root.join("lmtp")
}

fn token_passdb(root: &Path) -> String {
    let settings = token_settings_file(root);
    format!(
        "passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {}\n}}\n",
        settings.display()
    )
}

pub(super) fn token_settings_file(root: &Path) -> PathBuf {
    root.join("oauth2.conf")
}

/// Tokens are checked here, nobody is asked.
pub(super) fn token_settings(root: &Path) -> String {
    let keys = root.join("token-keys");
    format!(
        "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={}/\nusername_attribute = sub\n",
        keys.display()
    )
}

/// Dovecot's place for the key of tokens that name neither a client nor a key.
pub(super) fn token_key_file(root: &Path) -> PathBuf {
    root.join("token-keys/default/HS256/default")
}
