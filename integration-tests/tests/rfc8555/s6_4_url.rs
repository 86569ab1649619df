//! RFC 8555 section 6.4: request URL integrity.

use serde_json::{Value, json};

use crate::{
    expect::Expect,
    promise::{Promise, must},
    server::Server,
};

pub(crate) const PROMISES: &[Promise] = &[
    must("6.4", "a url that is another resource's is unauthorized", |server| {
        for url in [server.url("newAccount"), server.client.directory_url.clone(), server.owner().url.clone()]
        {
            with_url(server, url.into(), true);
        }
    }),
    must("6.4", "a url of another host is unauthorized", |server| {
        let target = server.client.http.target(&server.url("newOrder"));
        with_url(server, format!("https://other.example{target}").into(), true);
    }),
    must("6.4", "a url that means the same, but is not the same string, is unauthorized", |server| {
        let url = server.url("newOrder");
        let scheme = if url.starts_with("https") { "https" } else { "http" };
        let last = url.bytes().last().expect("a URL");
        let encoded = format!("{}%{:02X}", &url[..url.len() - 1], last);
        for url in [format!("{url}?"), url.replacen(scheme, &scheme.to_uppercase(), 1), encoded] {
            with_url(server, url.into(), true);
        }
    }),
    must("6.4", "a url with a query that the request does not have is unauthorized", |server| {
        with_url(server, format!("{}?x=1", server.url("newOrder")).into(), true);
    }),
    must("6.4", "a request with a query that its url does not have is refused", |server| {
        let good = server.good();
        let target = format!("{}?x=1", good.target);
        let _ = server.client.send(&good.to(&target).request()).refused();
    }),
    must("6.4", "a url that is no string is refused", |server| {
        for url in [json!(1), Value::Null, json!([server.url("newOrder")])] {
            with_url(server, url, false);
        }
    }),
    must("6.4", "a url that is not in the protected header is refused", |server| {
        let mut jws = server.good().without("url").flattened();
        jws["header"] = json!({"url": server.url("newOrder")});
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.4", "a url of an order that is another order's is unauthorized", |server| {
        let account = server.owner();
        let (one, other) = (server.order(account), server.order(account));
        let target = server.client.http.target(&one.url);
        let signed = account.signed_bytes(&other.url, Vec::new()).to(&target);
        let _ = server.client.send(&signed.request()).refused_as("unauthorized");
    }),
];

fn with_url(server: &Server, url: Value, is_url: bool) {
    let answer = server.client.send(&server.good().with("url", url).request());
    if is_url {
        let _ = answer.refused_as("unauthorized");
    } else {
        let _ = answer.refused();
    }
}
