//! `remit token`: tokens that are good for less than what they are minted with. They are printed to the standard output alone.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use identity::{Credential, MintedToken, Narrowing, TokenKeys};
use model::{Clock as _, SystemClock, Timestamp};
use ops::access::Action;
use remit_client::proto::remit::v1::MintRequest;
use serde_json::json;

use crate::arguments::{Left, TokenCommand, TokenMint, TokenNarrow, TokenShow};
use crate::client;
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(command: TokenCommand) -> anyhow::Result<Outcome> {
    match command {
        TokenCommand::Mint(arguments) => mint(&arguments).await?,
        TokenCommand::Narrow(arguments) => narrow(&arguments)?,
        TokenCommand::Show(arguments) => show(&arguments)?,
        TokenCommand::Key(arguments) => {
            let line = TokenKeys::fresh_line(&arguments.name);
            let line = line.map_err(|error| anyhow!("no random key can be made: {error}"))?;
            if arguments.json {
                output::json(&json!({ "name": arguments.name, "line": line }))?;
            } else {
                output::line(&line)?;
            }
        }
    }
    Ok(Outcome::Success)
}

async fn mint(arguments: &TokenMint) -> anyhow::Result<()> {
    let left = &arguments.left;
    let actions = left.action.iter().copied().map(Action::permission);
    let life = left.life.map_or(0, |life| life.as_secs());
    let request = MintRequest {
        actions: actions.map(str::to_owned).collect(),
        definitions: left.definition.iter().map(ToString::to_string).collect(),
        life_seconds: u32::try_from(life).unwrap_or(u32::MAX),
    };
    let client = client::connect(&arguments.connection).await?;
    let minted = client.token().mint(request).await;
    let minted = minted.map_err(|status| client::refused(&status))?;
    let token = MintedToken::parse(&minted.into_inner().token)?;
    print(&token, arguments.connection.json)
}

fn narrow(arguments: &TokenNarrow) -> anyhow::Result<()> {
    let token = read(&arguments.file)?;
    let narrowing = narrowing(&arguments.left)?;
    if narrowing.is_empty() {
        bail!("say what is to be left: `--action`, `--definition`, `--life`");
    }
    print(&token.narrowed(&narrowing)?, arguments.json)
}

fn narrowing(left: &Left) -> anyhow::Result<Narrowing> {
    let actions = left.action.iter().map(|it| it.permission().to_owned());
    let actions = (!left.action.is_empty()).then(|| actions.collect());
    let definitions = left.definition.iter().cloned();
    let definitions = (!left.definition.is_empty()).then(|| definitions.collect());
    let until = left.life.map(|life| {
        let micros = i64::try_from(life.as_micros()).unwrap_or(i64::MAX);
        SystemClock.now().saturating_add_micros(micros)
    });
    Ok(Narrowing::new(actions, definitions, until)?)
}

fn print(token: &MintedToken, is_json: bool) -> anyhow::Result<()> {
    if is_json {
        let until = token.until().to_string();
        return output::json(&json!({ "token": token.secret(), "id": token.id(), "until": until }));
    }
    output::line(token.secret())
}

fn show(arguments: &TokenShow) -> anyhow::Result<()> {
    let token = read(&arguments.file)?;
    let narrowing = token.narrowing();
    let actions: Option<Vec<&String>> = narrowing.actions().map(|all| all.iter().collect());
    let definitions = narrowing.definitions();
    let definitions: Option<Vec<String>> =
        definitions.map(|all| all.map(ToString::to_string).collect());
    let groups: Vec<String> = token.groups().map(ToString::to_string).collect();
    if arguments.json {
        return output::json(&json!({
            "id": token.id(),
            "subject": token.subject().to_string(),
            "name": token.name(),
            "groups": groups,
            "minted_with": rests_on(&token.rests_on()),
            "minted_at": token.minted_at().to_string(),
            "until": token.until().to_string(),
            "token_key": token.key(),
            "actions": actions,
            "definitions": definitions,
        }));
    }
    let all = "all".to_owned();
    let actions = actions.map_or(all.clone(), |names| listed(&names));
    let definitions = definitions.map_or(all, |names| listed(&names));
    let (minted_at, until): (Timestamp, Timestamp) = (token.minted_at(), token.until());
    // Nothing of it is proven, so nothing of it may control a terminal.
    for (what, value) in [
        ("subject", token.subject().to_string()),
        ("name", token.name().to_owned()),
        ("groups", listed(&groups)),
        ("minted with", rests_on(&token.rests_on())),
        ("minted at", minted_at.to_string()),
        ("until", until.to_string()),
        ("actions", actions),
        ("definitions", definitions),
        ("id", token.id().to_owned()),
        ("token key", token.key().to_owned()),
    ] {
        output::line(&format!("{what:<12} {}", value.escape_debug()))?;
    }
    Ok(())
}

fn listed<T: ToString>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(" ")
}

fn rests_on(credential: &Credential) -> String {
    let with = |what: String, id: &Option<String>| match id {
        Some(id) => format!("{what}, {id}"),
        None => what,
    };
    match credential {
        Credential::None => "nothing".to_owned(),
        Credential::PresharedKey { name } => format!("preshared key {name}"),
        Credential::Token { issuer, id } => with(format!("token of {issuer}"), id),
        Credential::JwtSvid { trust_domain, id } => with(format!("JWT-SVID of {trust_domain}"), id),
        Credential::X509Svid {
            trust_domain,
            serial,
        } => format!("X.509-SVID of {trust_domain}, {serial}"),
        Credential::Minted { id, .. } => format!("minted token {id}"),
    }
}

fn read(file: &Path) -> anyhow::Result<MintedToken> {
    let mut text = String::new();
    if file == Path::new("-") {
        let read = io::stdin().lock().read_to_string(&mut text);
        read.context("cannot read the standard input")?;
    } else {
        text = fs::read_to_string(file)
            .with_context(|| format!("cannot read `{}`", file.display()))?;
    }
    Ok(MintedToken::parse(text.trim())?)
}
