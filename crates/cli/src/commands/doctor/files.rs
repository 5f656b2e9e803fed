//! The files that a server is given: whether they can be used, and who may read those that are secret.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::Finding;
use crate::arguments::Serve;
use crate::commands::serve::{credentials, decisions};

/// What a file's group may do, and everybody else.
const GROUP: u32 = 0o070;
const GROUP_READS: u32 = 0o040;
const OTHERS: u32 = 0o007;

pub(super) fn look(serve: &Serve) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, read) in credentials::look(serve) {
        findings.push(match read {
            Ok(()) => Finding::ok(what, "can be used"),
            Err(error) => Finding::failed(what, &error, "mend the file; `remit serve` refuses it"),
        });
    }
    let secrets: [(&str, &Option<PathBuf>); 4] = [
        ("keys", &serve.preshared_key_file),
        ("token keys", &serve.token_key_file),
        ("key of the certificate", &serve.tls_key),
        ("audit keys", &serve.audit.audit_key_file),
    ];
    for (what, path) in secrets {
        let check = format!("{what}, permissions");
        findings.extend(path.as_deref().map(|path| permissions(&check, path)));
    }
    let rules = serve.decision_log.rules.as_deref().map(decisions::read);
    if let Some(Ok(rules)) = rules {
        // The first is that of the rules, which hold nothing that is secret.
        let salts = rules.files().iter().skip(1);
        findings
            .extend(salts.map(|path| permissions("salt of the decision log, permissions", path)));
    }
    if !serve.preshared_key.is_empty() && is_in_arguments("--preshared-key") {
        let advice =
            "use `--preshared-key-file`, or `REMIT_PRESHARED_KEY`: others see the arguments";
        findings.push(Finding::warn("keys", "a key is an argument", advice));
    }
    findings
}

/// Whether a flag was typed, rather than set by environment or file.
fn is_in_arguments(flag: &str) -> bool {
    std::env::args().any(|argument| {
        let name = argument
            .split_once('=')
            .map_or(argument.as_str(), |it| it.0);
        name == flag
    })
}

/// Whether a file is not this process's own: its group is how it is let read it, then.
fn is_anothers(owner: u32) -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() != owner)
}

/// Who may read or change a file that is secret.
pub(super) fn permissions(check: &str, path: &Path) -> Finding {
    let shown = path.display();
    let (mode, owner) = match fs::metadata(path) {
        Ok(metadata) => (metadata.permissions().mode() & 0o777, metadata.uid()),
        Err(error) => {
            let found = format!("`{shown}`: {error}");
            return Finding::fail(
                check,
                found,
                "the user that serves has to be able to read it",
            );
        }
    };
    let found = format!("`{shown}` has mode {mode:04o}");
    let advice = format!("chmod 0600 {shown}");
    if mode & OTHERS != 0 {
        Finding::fail(check, format!("{found}: anybody here may use it"), &advice)
    } else if mode & GROUP != 0 && !(mode & GROUP == GROUP_READS && is_anothers(owner)) {
        Finding::warn(check, format!("{found}: its group may use it"), &advice)
    } else {
        Finding::ok(check, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_secret_is_its_owners_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, verdict) in [
            (0o600, Verdict::Ok),
            (0o400, Verdict::Ok),
            (0o640, Verdict::Warn),
            (0o604, Verdict::Fail),
        ] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(permissions("it", file.path()).verdict, verdict, "{mode:o}");
        }
        let gone = permissions("it", Path::new("/nowhere/at/all"));
        assert_eq!(gone.verdict, Verdict::Fail);
    }
}
