//! Writing an answer.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
};
use coyote_protocol::REPLAY_NONCE;

use crate::reply::Response;

/// Writes an answer, its headers and its body.
pub(super) fn write(Response { reply, nonce }: Response) -> HttpResponse {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponseBuilder::new(status);
    if let Some(nonce) = nonce {
        response.insert_header((REPLAY_NONCE, nonce.as_str()));
    }
    // What is answered is for this client and this moment; a nonce above all. RFC 8555 section 7.2.
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    for (url, relation) in &reply.links {
        response.append_header((header::LINK, format!("<{url}>;rel=\"{relation}\"")));
    }
    if let Some(seconds) = reply.retry_after_seconds() {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    if let Some(fields) = &reply.rate_limit {
        response.insert_header(("RateLimit-Policy", fields.policy.as_str()));
        response.insert_header(("RateLimit", fields.limit.as_str()));
    }
    if let Some(location) = &reply.location {
        response.insert_header((header::LOCATION, location.as_str()));
    }
    match reply.body.media_type() {
        Some(media_type) => response.content_type(media_type).body(reply.body.into_bytes()),
        None => response.finish(),
    }
}
