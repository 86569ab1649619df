//! `acmed would-issue`: what would come of an order, beside the server.

use std::net::IpAddr;

use coyote_server::{
    Enquiry, Explanation, IdentifierExplanation, Objection,
    protocol::{ChallengeType, RawIdentifier},
};

use crate::{
    acme,
    cli::WouldIssue,
    config::Config,
    failure::Failure,
    network::Resolving,
    output::{print, print_json},
    store::Store,
};

/// Explains it. That the order would be refused is a failure.
pub(crate) fn run(asked: WouldIssue) -> Result<(), Failure> {
    let config = asked.beside.clone().config()?;
    config.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("the runtime could not be started"))?;
    let explanation = runtime.block_on(explain(&config, &asked))?;
    if asked.json {
        print_json(&explanation)?;
    } else {
        print(&lines(&explanation))?;
    }
    if explanation.would_issue { Ok(()) } else { Err(Failure::new("the order would be refused")) }
}

async fn explain(config: &Config, asked: &WouldIssue) -> Result<Explanation, Failure> {
    let limits = config.limits();
    let store = Store::open_existing(config, &limits).await?;
    if config.ca.command().is_none() && !config.ca_files().are_complete() {
        return Err(Failure::new("there is no CA; say which server it is with --config or --data-dir"));
    }
    let (ca, _) = acme::ca(config)?;
    let acme = acme::build(config, config.base_url(config.listen), &store, ca, Resolving::Dns)?;
    let enquiry = Enquiry {
        account: asked.account.0,
        identifiers: asked.names.iter().map(|name| identifier(name)).collect(),
        profile: asked.profile.clone(),
        client: asked.client,
    };
    acme.would_issue(&enquiry).await.map_err(Failure::because("it cannot be said what would come of it"))
}

fn identifier(name: &str) -> RawIdentifier {
    let kind = if name.parse::<IpAddr>().is_ok() { "ip" } else { "dns" };
    RawIdentifier::new(kind, name)
}

/// For people: a line to a name.
fn lines(explanation: &Explanation) -> String {
    let opened = explanation.external_account.as_ref().map(|kid| format!(", opened by the key {kid}"));
    let mut text = format!("account  {}{}\n", explanation.account, opened.unwrap_or_default());
    if let Some(profile) = &explanation.profile {
        text.push_str(&format!("profile  {profile}\n"));
    }
    for objection in &explanation.objections {
        text.push_str(&format!("no       {}\n", said(objection, None)));
    }
    for identifier in &explanation.identifiers {
        let name = &identifier.identifier.value;
        if identifier.objections.is_empty() {
            text.push_str(&format!("yes      {name}: {}\n", what_remains(identifier)));
        }
        for objection in &identifier.objections {
            text.push_str(&format!("no       {name}: {}\n", said(objection, identifier.rule.as_deref())));
        }
    }
    text
}

fn said(objection: &Objection, rule: Option<&str>) -> String {
    let by = serde_json::to_value(objection.by);
    let by = by.as_ref().ok().and_then(|by| by.as_str()).unwrap_or("policy").to_owned();
    let rule = rule.filter(|_| by == "policy").map(|rule| format!(" [{rule}]"));
    format!("{by}: {}{}", objection.problem.detail, rule.unwrap_or_default())
}

fn what_remains(identifier: &IdentifierExplanation) -> String {
    let rule = identifier.rule.as_ref().map(|rule| format!(" [{rule}]")).unwrap_or_default();
    if identifier.already_valid {
        return format!("the policy vouches for it{rule}");
    }
    if let Some(reused) = &identifier.reused {
        let method = reused.method.as_ref().map(ToString::to_string).unwrap_or_default();
        return format!("proved by {method} until {}{rule}", reused.expires.truncate_to_seconds());
    }
    let challenges: Vec<_> = identifier.challenges.iter().map(ChallengeType::as_str).collect();
    format!("to be proved by {}{rule}", challenges.join(" or "))
}
