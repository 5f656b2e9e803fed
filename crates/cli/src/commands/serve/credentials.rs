//! What callers are judged by, and what the server proves itself with: read at the start, and again while it runs.
//!
//! Files are read again on SIGHUP, and when one of them changed: certificates and bundles of workloads are replaced by programs,
//! every hour or so, which do not tell. What cannot be read leaves what there was.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use decision_log::DecisionLog;
use edge::Rules;
use identity::{Authenticator, PresharedKeys, Settings, TokenKeys};
use model::Clock;
use ops::Node;
use ops::audit::signing::Keys;
use server::overload::{Limits, LimitsInForce};
use server::{Authentication, Edge, Tls, TlsHandle};
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use super::reload::Reload;
use super::{audit, decisions};
use crate::arguments::Serve;

/// How often it is looked whether a file changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Where it all comes from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    given_keys: Vec<String>,
    key_file: Option<PathBuf>,
    token_key_file: Option<PathBuf>,
    edge_rules: Option<PathBuf>,
    decision_log: Option<PathBuf>,
    limits: Option<PathBuf>,
    audit_keys: Option<PathBuf>,
    settings: Option<PathBuf>,
    tls: Option<TlsFiles>,
}

#[derive(Debug, Clone)]
struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Option<PathBuf>,
}

/// What is in use, and can be replaced.
#[derive(Debug)]
pub(super) struct InUse {
    keys: Option<Arc<PresharedKeys>>,
    authenticator: Option<Arc<Authenticator>>,
    pub(super) tls: Option<Arc<TlsHandle>>,
    pub(super) edge: Option<Arc<Edge>>,
    pub(super) decision_log: Option<Arc<DecisionLog>>,
    pub(super) limits: Arc<LimitsInForce>,
    /// What the audit log is signed with, as who signs takes it.
    pub(super) audit_keys: Option<watch::Sender<Keys>>,
    /// The files that the settings were read from.
    settings_files: Vec<PathBuf>,
}

/// What a server is given beside its store, by what it is of, and what is wrong with it.
pub(crate) fn look(arguments: &Serve) -> Vec<(&'static str, anyhow::Result<()>)> {
    let mut looked_at = Sources::of(arguments).looked_at();
    if let Some(traces) = arguments.traces.settings().transpose() {
        let usable = traces.and_then(|traces| Ok(traces.check()?));
        looked_at.push(("traces", usable));
    }
    looked_at
}

/// Before anything is loaded.
pub(super) fn refuse_faults(arguments: &Serve) -> anyhow::Result<()> {
    let mut looked_at = look(arguments).into_iter();
    looked_at.try_for_each(|(_, usable)| usable)
}

impl Sources {
    pub(super) fn of(arguments: &Serve) -> Self {
        let tls = arguments.tls_cert.clone().zip(arguments.tls_key.clone());
        Self {
            given_keys: arguments.preshared_key.clone(),
            key_file: arguments.preshared_key_file.clone(),
            token_key_file: arguments.token_key_file.clone(),
            edge_rules: arguments.edge_rules.clone(),
            decision_log: arguments.decision_log.rules.clone(),
            limits: arguments.overload.limits_file.clone(),
            audit_keys: arguments.audit.audit_key_file.clone(),
            settings: arguments.identity.clone(),
            tls: tls.map(|(certificate, key)| TlsFiles {
                certificate,
                key,
                client_authorities: arguments.tls_client_ca.clone(),
            }),
        }
    }

    /// Whether there is a file that could be read again.
    pub(super) fn has_files(&self) -> bool {
        self.files().next().is_some()
    }

    /// The files that are named.
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let tls = self.tls.iter().flat_map(|files| {
            let authorities = files.client_authorities.iter();
            [&files.certificate, &files.key]
                .into_iter()
                .chain(authorities)
        });
        let keys = self.key_file.iter().chain(&self.token_key_file);
        keys.chain(&self.settings)
            .chain(&self.edge_rules)
            .chain(&self.decision_log)
            .chain(&self.limits)
            .chain(&self.audit_keys)
            .chain(tls)
    }

    /// Who may call; an empty store gets a first key, on record, if nothing says who.
    pub(super) async fn authentication(
        &self,
        node: &Node,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<(Authentication, InUse)> {
        let settings = self.settings()?;
        let keys = self.keys()?;
        if let Some(keys) = &keys {
            warn_of_short(keys);
        }
        if keys.is_none() && !ops::keys::are_on_record(node) {
            first_key(node, self.settings.is_some()).await?;
        }
        let keys = keys.map(Arc::new);
        let settings_files = settings.files().to_vec();
        let authenticator = Authenticator::new(keys.clone(), node.recorded_keys(), settings, clock);
        if let Some(keys) = self.token_keys()? {
            authenticator.replace_token_keys(keys);
        }
        if authenticator.has_trust_domains() && self.tls.is_none() {
            tracing::warn!(
                "there are trust domains and no TLS, so that no workload can present a certificate"
            );
        }
        if self.settings.is_some() {
            tokio::spawn(Arc::clone(&authenticator).keep_keys());
        }
        let in_use = InUse {
            keys,
            authenticator: Some(Arc::clone(&authenticator)),
            tls: None,
            edge: None,
            decision_log: None,
            limits: LimitsInForce::new(Limits::default()),
            audit_keys: None,
            settings_files,
        };
        Ok((Authentication::Required(authenticator), in_use))
    }

    pub(super) fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let Some(files) = &self.tls else {
            return Ok(None);
        };
        let authorities = files.client_authorities.as_deref();
        Ok(Some(Tls {
            certificate_pem: read(&files.certificate)?,
            key_pem: read(&files.key)?,
            client_authorities_pem: authorities.map(read).transpose()?,
        }))
    }

    /// The rules for proxies.
    pub(super) fn edge(&self) -> anyhow::Result<Option<Arc<Edge>>> {
        let rules = self.edge_rules.as_deref().map(rules);
        Ok(rules.transpose()?.map(Edge::new))
    }

    /// What the audit log is signed with.
    pub(super) fn audit_keys(&self) -> anyhow::Result<Option<Keys>> {
        self.audit_keys.as_deref().map(audit::read).transpose()
    }

    /// Each file that is named, by what it is of, and what is wrong with it.
    fn looked_at(&self) -> Vec<(&'static str, anyhow::Result<()>)> {
        let mut read: Vec<(&'static str, anyhow::Result<()>)> = Vec::new();
        if self.key_file.is_some() || !self.given_keys.is_empty() {
            read.push(("keys", self.keys().map(drop)));
        }
        if self.token_key_file.is_some() {
            read.push(("token keys", self.token_keys().map(drop)));
        }
        if self.settings.is_some() {
            read.push(("identity", self.settings().map(drop)));
        }
        if self.edge_rules.is_some() {
            read.push(("rules for proxies", self.edge().map(drop)));
        }
        if self.limits.is_some() {
            read.push(("limits of callers", self.limits().map(drop)));
        }
        if let Some(file) = &self.decision_log {
            read.push(("rules of the decision log", decisions::read(file).map(drop)));
        }
        if self.audit_keys.is_some() {
            read.push(("audit keys", self.audit_keys().map(drop)));
        }
        if self.tls.is_some() {
            let tls = self.tls().and_then(|tls| match tls {
                Some(tls) => Ok(tls.check()?),
                None => Ok(()),
            });
            read.push(("certificate and key", tls));
        }
        read
    }

    /// How much callers may ask for.
    pub(super) fn limits(&self) -> anyhow::Result<Arc<LimitsInForce>> {
        let limits = self.limits.as_deref().map(limits).transpose()?;
        Ok(LimitsInForce::new(limits.unwrap_or_default()))
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        match &self.settings {
            Some(file) => Ok(Settings::read(file)?),
            None => Ok(Settings::default()),
        }
    }

    /// The keys that are given and those of the file; none if there are neither.
    fn keys(&self) -> anyhow::Result<Option<PresharedKeys>> {
        let of_file = self.key_file.as_deref().map(|path| {
            PresharedKeys::from_file_text(&read(path)?)
                .with_context(|| format!("`{}` is no file of keys", path.display()))
        });
        let of_file = of_file.transpose()?;
        if self.given_keys.is_empty() {
            return Ok(of_file);
        }
        let keys = PresharedKeys::new(self.given_keys.iter().map(String::as_str))?;
        match of_file {
            Some(of_file) => Ok(Some(keys.joined(&of_file)?)),
            None => Ok(Some(keys)),
        }
    }

    fn token_keys(&self) -> anyhow::Result<Option<TokenKeys>> {
        let keys = self.token_key_file.as_deref().map(|path| {
            TokenKeys::from_file_text(&read(path)?)
                .with_context(|| format!("`{}` is no file of token keys", path.display()))
        });
        keys.transpose()
    }

    /// Replaces `in_use` by what the files hold each time that they are to be read again.
    pub(super) async fn keep(
        self,
        mut hangups: Signal,
        mut in_use: InUse,
        mut reload: Option<Reload>,
    ) {
        let marks = |in_use: &InUse, reload: &Option<Reload>| {
            let configuration = reload.as_ref().map(|it| mark(it.path()));
            (self.marks(in_use), configuration)
        };
        // What was read at the start may have changed since, while the node loaded: all is read once more, with nothing to wait for.
        let mut seen = None;
        loop {
            if let Some(seen) = &seen {
                tokio::select! {
                    _ = hangups.recv() => {}
                    () = tokio::time::sleep(LOOK_INTERVAL) => {
                        if marks(&in_use, &reload) == *seen {
                            continue;
                        }
                    }
                }
            }
            // Before they are read: a change that comes while they are is seen the next time.
            seen = Some(marks(&in_use, &reload));
            if let Some(reload) = &mut reload {
                tell("configuration file", true, || reload.read_again());
            }
            let before = in_use.files();
            self.read_again(&mut in_use);
            if in_use.files() != before {
                seen = Some(marks(&in_use, &reload));
            }
        }
    }

    fn read_again(&self, in_use: &mut InUse) {
        tell("keys", self.key_file.is_some(), || {
            if let (Some(keys), Some(read)) = (&in_use.keys, self.keys()?) {
                keys.replace(read);
            }
            Ok(())
        });
        tell("token keys", self.token_key_file.is_some(), || {
            if let (Some(authenticator), Some(keys)) = (&in_use.authenticator, self.token_keys()?) {
                authenticator.replace_token_keys(keys);
            }
            Ok(())
        });
        let mut files = None;
        tell("settings of identity", self.settings.is_some(), || {
            let settings = self.settings()?;
            files = Some(settings.files().to_vec());
            if let Some(authenticator) = &in_use.authenticator {
                authenticator.replace(settings);
            }
            Ok(())
        });
        if let Some(files) = files {
            in_use.settings_files = files;
        }
        tell("rules for proxies", self.edge_rules.is_some(), || {
            let (Some(edge), Some(file)) = (&in_use.edge, &self.edge_rules) else {
                return Ok(());
            };
            let read = rules(file).inspect_err(|_| edge.note_unreadable());
            edge.replace(read?);
            Ok(())
        });
        tell(
            "rules of the decision log",
            self.decision_log.is_some(),
            || {
                if let (Some(log), Some(file)) = (&in_use.decision_log, &self.decision_log) {
                    decisions::replace(log, file)?;
                }
                Ok(())
            },
        );
        tell("limits of callers", self.limits.is_some(), || {
            if let Some(file) = &self.limits {
                in_use.limits.replace(limits(file)?);
            }
            Ok(())
        });
        tell("audit keys", self.audit_keys.is_some(), || {
            if let (Some(in_use), Some(keys)) = (&in_use.audit_keys, self.audit_keys()?) {
                in_use.send_replace(keys);
            }
            Ok(())
        });
        tell("certificate", self.tls.is_some(), || {
            if let (Some(handle), Some(tls)) = (&in_use.tls, self.tls()?) {
                handle.replace(&tls)?;
            }
            Ok(())
        });
    }

    /// By what it is told that a file changed.
    fn marks(&self, in_use: &InUse) -> Vec<Mark> {
        let of_others = in_use.files();
        self.files().chain(&of_others).map(mark).collect()
    }
}

impl InUse {
    /// The files that those which are named were read with.
    fn files(&self) -> Vec<PathBuf> {
        let of_log = self.decision_log.iter().flat_map(|log| log.files());
        self.settings_files.iter().cloned().chain(of_log).collect()
    }

    /// Where nobody is asked who they are.
    pub(super) fn nothing() -> Self {
        Self {
            keys: None,
            authenticator: None,
            tls: None,
            edge: None,
            decision_log: None,
            limits: LimitsInForce::new(Limits::default()),
            audit_keys: None,
            settings_files: Vec::new(),
        }
    }
}

/// When a file was changed and how large it is, if it is there.
type Mark = Option<(SystemTime, u64)>;

fn mark(file: &PathBuf) -> Mark {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn tell(what: &str, is_there: bool, read: impl FnOnce() -> anyhow::Result<()>) {
    if !is_there {
        return;
    }
    match read() {
        Ok(()) => tracing::info!(what, "read again"),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(what, error, "cannot be read again, and stays as it was");
        }
    }
}

/// Makes the first key of an empty store and shows it, this once: whoever starts an empty store is its first administrator.
async fn first_key(node: &Node, lets_others_in: bool) -> anyhow::Result<()> {
    if !node.snapshot().schema().is_empty() || node.snapshot().relationship_count() > 0 {
        if lets_others_in {
            return Ok(());
        }
        bail!(
            "no key is given, and none is on record: use `--preshared-key`, `--preshared-key-file`, `--identity`, or \
             `--insecure-no-auth` on loopback"
        );
    }
    let key = ops::keys::bootstrap(node).await?;
    eprintln!(
        "the store is empty; its first key, of the administrator `remit/key:admin`, is\n\n    {key}\n\nIt is not shown again. \
         `remit access key create NAME` makes others.\n"
    );
    Ok(())
}

fn warn_of_short(keys: &PresharedKeys) {
    for name in keys.short() {
        tracing::warn!(
            key = name,
            "a preshared key is short enough to be guessed; use 32 random bytes"
        );
    }
}

fn rules(path: &Path) -> anyhow::Result<Rules> {
    let rules = Rules::read(&path.display().to_string(), &read(path)?);
    rules.with_context(|| format!("`{}` is no file of rules for proxies", path.display()))
}

fn limits(path: &Path) -> anyhow::Result<Limits> {
    let limits = Limits::read(&read(path)?);
    limits.with_context(|| format!("`{}` is no file of limits of callers", path.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}
