//! Reading a request.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    str::FromStr,
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    error::ErrorInternalServerError,
    http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    web::Data,
};
use coyote_storage::OrderId;
use futures_core::Stream;
use tokio::time::timeout;

use super::{client, respond};
use crate::{
    acme::Acme,
    error::{Error, Result},
    limits::Limits,
    reply::Reply,
    service::request::Request,
    url::Urls,
};

/// The media type of a request. RFC 8555 section 6.2.
const JOSE_JSON: &str = "application/jose+json";

/// A POST: its body, or why there is none. It says nothing about who sent it.
pub(super) struct Signed {
    acme: Arc<Acme>,
    http: HttpRequest,
    body: Result<Vec<u8>>,
}

impl FromRequest for Signed {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(http: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let http = http.clone();
        let payload = payload.take();
        Box::pin(async move {
            let acme = http.app_data::<Data<Acme>>().map(|acme| acme.clone().into_inner());
            let acme = acme.ok_or_else(|| ErrorInternalServerError("the routes have no server"))?;
            let body = read(&http, payload, &acme.limits).await;
            Ok(Self { acme, http, body })
        })
    }
}

impl Signed {
    pub(super) fn urls(&self) -> &Urls {
        &self.acme.urls
    }

    /// Whether there is a newAuthz here.
    pub(super) fn offers_new_authz(&self) -> bool {
        self.acme.offers_new_authz()
    }

    /// A target of which there is one.
    pub(super) fn at(&self, path: &str) -> Result<(String, ())> {
        Ok((self.urls().at(path), ()))
    }

    /// An id in the path. What is not an id names nothing.
    pub(super) fn id<T: FromStr>(&self, name: &str) -> Result<T> {
        let id = self.http.match_info().get(name).and_then(|text| text.parse().ok());
        id.ok_or_else(super::nothing_there)
    }

    /// A number in the path, written as the server writes it, and at least `least`.
    pub(super) fn number(&self, name: &str, least: usize) -> Result<usize> {
        let text = self.http.match_info().get(name).unwrap_or_default();
        let number =
            text.parse::<usize>().ok().filter(|number| *number >= least && number.to_string() == text);
        number.ok_or_else(super::nothing_there)
    }

    /// Where a page of a list begins.
    pub(super) fn cursor(&self) -> Result<Option<OrderId>> {
        let query = self.http.query_string();
        if query.is_empty() {
            return Ok(None);
        }
        let cursor = query.strip_prefix("cursor=").and_then(|cursor| cursor.parse().ok());
        cursor.map(Some).ok_or_else(|| Error::malformed("the query is not a page of this list"))
    }

    /// Runs an operation on the target, which has this URL, and writes its answer.
    ///
    /// The operation runs to its end even if the client hangs up: what it changes, it changes wholly.
    pub(super) async fn run<T, F, R>(self, target: Result<(String, T)>, operation: F) -> HttpResponse
    where
        T: Send + 'static,
        F: FnOnce(Arc<Acme>, Request, T) -> R + Send + 'static,
        R: Future<Output = Result<Reply>> + Send + 'static,
    {
        let query = self.http.query_string();
        let client = client::address(&self.http);
        let accept: Vec<_> =
            self.http.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok()).collect();
        let accept = (!accept.is_empty()).then(|| accept.join(", "));
        let request = target.and_then(|(mut url, target)| {
            if !query.is_empty() {
                url = format!("{url}?{query}");
            }
            Ok((Request { url, body: self.body?, client, accept }, target))
        });
        let acme = self.acme.clone();
        let task = tokio::spawn(async move {
            let result = match request {
                Ok((request, target)) => operation(acme.clone(), request, target).await,
                Err(error) => Err(error),
            };
            acme.respond(result, true).await
        });
        let response = match task.await {
            Ok(response) => response,
            Err(panic) => self.acme.respond(Err(Error::internal("serving a request", panic)), true).await,
        };
        respond::write(response)
    }
}

/// Reads the body, if it is one that a request may have.
async fn read(http: &HttpRequest, payload: Payload, limits: &Limits) -> Result<Vec<u8>> {
    let media_type = |error: &str| Err(Error::malformed(error).with_status(415));
    let mut types = http.headers().get_all(CONTENT_TYPE);
    if types.next().is_none_or(|value| value.as_bytes() != JOSE_JSON.as_bytes()) || types.next().is_some() {
        return media_type("the Content-Type of a request is application/jose+json");
    }
    if http.headers().contains_key(CONTENT_ENCODING) {
        return media_type("a request has no Content-Encoding");
    }
    let most = limits.request_body as usize;
    let announced = http.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > most) {
        return Err(too_large(most));
    }
    timeout(limits.request_time, collect(payload, announced.unwrap_or_default(), most))
        .await
        .unwrap_or_else(|_| Err(Error::malformed("the request took too long to arrive").with_status(408)))
}

async fn collect(mut payload: Payload, announced: usize, most: usize) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(announced);
    while let Some(chunk) = poll_fn(|context| Pin::new(&mut payload).poll_next(context)).await {
        let chunk = chunk.map_err(|_| Error::malformed("the body of the request cannot be read"))?;
        if body.len() + chunk.len() > most {
            return Err(too_large(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large(most: usize) -> Error {
    Error::malformed(format!("the body of a request has at most {most} bytes")).with_status(413)
}
