//! The arguments of `remit kubernetes`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kubernetes::id::Cluster;

use super::Connection;

/// Answer for Kubernetes what its RBAC manifests say.
#[derive(Debug, Subcommand)]
pub(crate) enum KubernetesCommand {
    /// Print the definitions that Kubernetes needs, alone or beside a company's own.
    #[command(after_help = "Examples:
  remit kubernetes schema > schema.zed
  remit kubernetes schema --with company.zed > schema.zed && remit schema write schema.zed")]
    Schema {
        /// A schema file whose definitions come before these (`-` for the standard input).
        #[arg(long, value_name = "FILE")]
        with: Option<PathBuf>,
    },
    /// Bring roles and bindings to what manifests say.
    Import(KubernetesImport),
    /// List who may do something.
    WhoCan(WhoCan),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit kubernetes import rbac/*.yaml --dry-run
  kubectl get clusterroles,clusterrolebindings,roles,rolebindings -A -o yaml | remit kubernetes import - --prune
  remit kubernetes import team-a.yaml --cluster eu-1 --namespace team-a --source team-a

Roles and bindings in the files are brought to what the files say: a subject that is no longer in a binding loses it. Those
that were imported before from the same source and are in no file stay, unless --prune. All else is left alone.
Roles that are made of others (aggregationRule) are made of those in the files: import all of a cluster's together.

Exit codes: 0 done, 1 the manifests have faults and nothing was written, 4 failed")]
pub(crate) struct KubernetesImport {
    /// The files, of YAML or JSON (`-` for the standard input).
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The name of the cluster.
    #[arg(long, default_value = "main", value_name = "NAME")]
    pub(crate) cluster: Cluster,
    /// The namespace of roles and role bindings that name none.
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// What the roles and bindings are marked with, for several imports to one cluster.
    #[arg(long, default_value = "rbac", value_name = "NAME", value_parser = source)]
    pub(crate) source: String,
    /// Write nothing; say what would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete roles and bindings that were imported before and are in none of the files.
    #[arg(long)]
    pub(crate) prune: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit kubernetes who-can get secrets --namespace prod
  remit kubernetes who-can patch deployments.apps/scale --namespace prod --name web
  remit kubernetes who-can get /metrics

Groups stand for whoever the API server says is in them; members that Remit knows are listed by themselves.")]
pub(crate) struct WhoCan {
    /// To do what: a verb, such as `get`.
    pub(crate) verb: String,
    /// With what: a resource, with its group and a part of it (`deployments.apps/scale`), or a path (`/metrics`).
    pub(crate) what: String,
    /// In which namespace; without it in all of the cluster.
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// With which one; without it with all.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The name of the cluster.
    #[arg(long, default_value = "main", value_name = "NAME")]
    pub(crate) cluster: Cluster,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

fn source(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 253 || text.contains('/') {
        return Err("a source has 1 to 253 bytes, and no `/`".to_owned());
    }
    Ok(text.to_owned())
}
