//! `acmed why`: what the attempts at a validation or an issuance saw, step by step.

use std::fmt::Write;

use coyote_server::{
    path,
    storage::{Storage, TraceKey, TraceRecord, TraceSubject},
    trace::Timeline,
};
use serde_json::{Value, json};

use crate::{
    cli::Why,
    failure::Failure,
    output::{print, print_json},
    store::{self, Store},
};

/// Shows what is known of the latest attempts.
pub(crate) fn run(why: Why) -> Result<(), Failure> {
    store::block_on(async {
        let keys = keys(&why.what)?;
        let config = why.beside.config()?;
        let store = Store::open_existing(&config, &config.limits()).await?;
        let mut records = found(&*store.storage, &keys, why.last).await?;
        if records.is_empty() {
            let nothing = format!("no attempt is on record for {:?}", why.what);
            return Err(Failure::new(nothing).hint(
                "an attempt begins when the client says that its answer is in place, and \
                is kept as long as [retention] traces says",
            ));
        }
        records.reverse(); // as it happened
        if why.json {
            return print_json(&records.iter().map(as_json).collect::<Vec<_>>());
        }
        print(&records.iter().map(as_text).collect::<Vec<_>>().join("\n"))
    })
}

/// The traces of the first key that has some.
async fn found(storage: &dyn Storage, keys: &[TraceKey], last: u32) -> Result<Vec<TraceRecord>, Failure> {
    for key in keys {
        let records = storage.traces(key, last).await;
        let records = records.map_err(Failure::because("the traces could not be read"))?;
        if !records.is_empty() {
            return Ok(records);
        }
    }
    Ok(Vec::new())
}

/// What it may be that somebody asks for.
fn keys(what: &str) -> Result<Vec<TraceKey>, Failure> {
    if what.contains('/') {
        let unknown = || {
            Failure::new(format!("{what:?} is the URL of no order, authorization or challenge"))
                .hint("of a certificate, ask for its order or for a name")
        };
        return url(what).map(|key| vec![key]).ok_or_else(unknown);
    }
    let mut keys = Vec::new();
    keys.extend(what.parse().ok().map(TraceKey::Request));
    keys.extend(what.parse().ok().map(TraceKey::Authorization));
    keys.extend(what.parse().ok().map(TraceKey::Order));
    keys.push(TraceKey::Name(what.trim_end_matches('.').to_ascii_lowercase()));
    Ok(keys)
}

/// What this URL is of, whatever it begins with.
fn url(url: &str) -> Option<TraceKey> {
    let id = |kind: &str| Some(url.split_once(&format!("{kind}/"))?.1.split('/').next()?.to_owned());
    let authorization = id(path::AUTHORIZATION).or_else(|| id(path::CHALLENGE));
    match authorization {
        Some(id) => id.parse().ok().map(TraceKey::Authorization),
        None => id(path::ORDER)?.parse().ok().map(TraceKey::Order),
    }
}

fn about(record: &TraceRecord) -> &'static str {
    match record.subject {
        TraceSubject::Authorization(_) => "authorization",
        TraceSubject::Order(_) => "order",
    }
}

fn as_text(record: &TraceRecord) -> String {
    let TraceRecord { at, request, subject, names, timeline } = record;
    let read = serde_json::from_str::<Timeline>(timeline);
    let (title, steps) = match &read {
        Ok(timeline) => (timeline.subject.to_string(), timeline.to_string()),
        Err(_) => (names.clone(), timeline.clone()), // of another version
    };
    let mut text = format!("{title}\n{at}, trace {request}, {} {}\n", about(record), subject.id());
    writeln!(text, "{steps}").ok();
    text
}

fn as_json(record: &TraceRecord) -> Value {
    let TraceRecord { at, request, subject, names, timeline } = record;
    json!({
        "at": at,
        "trace": request.to_string(),
        about(record): subject.id(),
        "names": names,
        "timeline": serde_json::from_str(timeline).unwrap_or_else(|_| Value::from(timeline.as_str())),
    })
}

#[cfg(test)]
mod tests {
    use coyote_server::storage::{AuthorizationId, OrderId, RequestId};

    use super::*;

    #[test]
    fn a_url_is_of_an_order_or_an_authorization_whatever_is_before_and_after_that() {
        let order = TraceKey::Order(OrderId::from_bytes([1; 16]));
        let authorization = TraceKey::Authorization(AuthorizationId::from_bytes([1; 16]));
        let id = OrderId::from_bytes([1; 16]);
        for (url, key) in [
            (format!("https://ca.example/pki/acme/order/{id}"), &order),
            (format!("https://ca.example/acme/order/{id}/finalize"), &order),
            (format!("/acme/authz/{id}"), &authorization),
            (format!("https://ca.example/acme/challenge/{id}/{id}"), &authorization),
        ] {
            assert_eq!(keys(&url).unwrap(), std::slice::from_ref(key), "{url}");
        }
        assert!(keys("https://ca.example/acme/certificate/x").is_err());
    }

    #[test]
    fn what_may_be_an_id_is_looked_for_as_one_and_then_as_a_name() {
        let id = RequestId::from_bytes([1; 16]).to_string();
        assert_eq!(keys(&id).unwrap().len(), 4);
        assert_eq!(keys("A.test.").unwrap(), [TraceKey::Name("a.test".to_owned())]);
    }
}
