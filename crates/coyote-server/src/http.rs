//! The HTTP adapter: all routes of a server, for an actix-web application.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use actix_web::{App, HttpServer};
//! # use coyote_server::Acme;
//! # async fn serve(acme: Arc<Acme>) -> std::io::Result<()> {
//! HttpServer::new(move || App::new().configure(coyote_server::http::routes(acme.clone())))
//!     .bind(("127.0.0.1", 8000))?
//!     .run()
//!     .await
//! # }
//! ```

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse, Resource, Scope,
    http::Method,
    web::{self, Data, Path, ServiceConfig},
};

use crate::{
    acme::Acme,
    error::Error,
    url::path::{
        ACCOUNT, AUTHORIZATION, CERTIFICATE, CHALLENGE, DIRECTORY, KEY_CHANGE, NEW_ACCOUNT, NEW_AUTHZ,
        NEW_NONCE, NEW_ORDER, ORDER, RENEWAL_INFO, REVOKE_CERT, ROOTS,
    },
};

mod client;
mod extract;
mod respond;

pub use client::TrustedProxies;
use extract::Signed;

/// Puts a server's routes into an application, below the path of its base URL.
///
/// It takes `/directory`, `/acme/…` and `/ca/root.pem` there, and leaves everything else to the application.
pub fn routes(acme: Arc<Acme>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let base = acme.urls().path().to_owned();
        let acme = Data::from(acme);
        config
            .service(
                read(&base, DIRECTORY, &acme)
                    .route(web::get().to(directory))
                    .route(web::post().to(authenticated_directory)),
            )
            .service(read(&base, ROOTS, &acme).route(web::get().to(roots)))
            .service(
                Scope::new(&format!("{base}/acme"))
                    .app_data(acme.clone())
                    .service(
                        below(NEW_NONCE, "")
                            .route(web::head().to(head_new_nonce))
                            .route(web::get().to(get_new_nonce))
                            .route(web::post().to(authenticated_new_nonce)),
                    )
                    .service(below(NEW_ACCOUNT, "").route(web::post().to(new_account)))
                    .service(below(NEW_ORDER, "").route(web::post().to(new_order)))
                    .service(below(KEY_CHANGE, "").route(web::post().to(key_change)))
                    .service(below(REVOKE_CERT, "").route(web::post().to(revoke_certificate)))
                    .service(below(NEW_AUTHZ, "").route(web::post().to(new_authorization)))
                    .service(below(RENEWAL_INFO, "/{certificate}").route(web::get().to(renewal_info)))
                    .service(below(ACCOUNT, "/{account}").route(web::post().to(account)))
                    .service(below(ACCOUNT, "/{account}/orders").route(web::post().to(orders)))
                    .service(below(ORDER, "/{order}").route(web::post().to(order)))
                    .service(below(ORDER, "/{order}/finalize").route(web::post().to(finalize)))
                    .service(below(AUTHORIZATION, "/{authorization}").route(web::post().to(authorization)))
                    .service(
                        below(CHALLENGE, "/{authorization}/{challenge}").route(web::post().to(challenge)),
                    )
                    .service(below(CERTIFICATE, "/{certificate}").route(web::post().to(certificate)))
                    .service(below(CERTIFICATE, "/{certificate}/{chain}").route(web::post().to(alternate)))
                    .service(
                        below(CERTIFICATE, "/{certificate}/{chain}/{place}").route(web::post().to(issuer)),
                    )
                    .default_service(web::to(not_found)),
            );
    }
}

/// `GET directory`. RFC 8555 section 7.1.1.
pub async fn directory(acme: Data<Acme>) -> HttpResponse {
    let reply = acme.directory();
    respond::write(acme.respond(Ok(reply), false).await)
}

/// `HEAD newNonce`. RFC 8555 section 7.2.
async fn head_new_nonce(acme: Data<Acme>) -> HttpResponse {
    respond::write(acme.new_nonce(true).await)
}

/// `GET newNonce`. RFC 8555 section 7.2.
async fn get_new_nonce(acme: Data<Acme>) -> HttpResponse {
    respond::write(acme.new_nonce(false).await)
}

/// `POST`-as-GET to the directory. RFC 8555 section 6.3.
async fn authenticated_directory(signed: Signed) -> HttpResponse {
    let target = signed.at(DIRECTORY);
    signed.run(target, |acme, request, ()| async move { acme.authenticated_directory(&request).await }).await
}

/// `POST`-as-GET to newNonce. RFC 8555 section 6.3.
async fn authenticated_new_nonce(signed: Signed) -> HttpResponse {
    let target = signed.at(NEW_NONCE);
    signed.run(target, |acme, request, ()| async move { acme.authenticated_new_nonce(&request).await }).await
}

/// `POST newAccount`. RFC 8555 section 7.3.
async fn new_account(signed: Signed) -> HttpResponse {
    let target = signed.at(NEW_ACCOUNT);
    signed.run(target, |acme, request, ()| async move { acme.new_account(&request).await }).await
}

/// `POST newOrder`. RFC 8555 section 7.4.
async fn new_order(signed: Signed) -> HttpResponse {
    let target = signed.at(NEW_ORDER);
    signed.run(target, |acme, request, ()| async move { acme.new_order(&request).await }).await
}

/// `POST keyChange`. RFC 8555 section 7.3.5.
async fn key_change(signed: Signed) -> HttpResponse {
    let target = signed.at(KEY_CHANGE);
    signed.run(target, |acme, request, ()| async move { acme.key_change(&request).await }).await
}

/// `POST revokeCert`. RFC 8555 section 7.6.
async fn revoke_certificate(signed: Signed) -> HttpResponse {
    let target = signed.at(REVOKE_CERT);
    signed.run(target, |acme, request, ()| async move { acme.revoke_certificate(&request).await }).await
}

/// `POST` to an account. RFC 8555 section 7.3.2.
async fn account(signed: Signed) -> HttpResponse {
    let target = signed.id("account").map(|id| (signed.urls().account(&id), id));
    signed.run(target, |acme, request, id| async move { acme.account(&request, &id).await }).await
}

/// `POST`-as-GET to an account's orders. RFC 8555 section 7.1.2.1.
async fn orders(signed: Signed) -> HttpResponse {
    let target = signed.id("account").and_then(|id| Ok((signed.urls().orders(&id), (id, signed.cursor()?))));
    signed
        .run(target, |acme, request, (id, after)| async move { acme.orders(&request, &id, after).await })
        .await
}

/// `POST`-as-GET to an order. RFC 8555 section 7.4.
async fn order(signed: Signed) -> HttpResponse {
    let target = signed.id("order").map(|id| (signed.urls().order(&id), id));
    signed.run(target, |acme, request, id| async move { acme.order(&request, &id).await }).await
}

/// `POST` to an order's finalize URL. RFC 8555 section 7.4.
async fn finalize(signed: Signed) -> HttpResponse {
    let target = signed.id("order").map(|id| (signed.urls().finalize(&id), id));
    signed.run(target, |acme, request, id| async move { acme.finalize(&request, &id).await }).await
}

/// `POST` to an authorization. RFC 8555 section 7.5.
async fn authorization(signed: Signed) -> HttpResponse {
    let target = signed.id("authorization").map(|id| (signed.urls().authorization(&id), id));
    signed.run(target, |acme, request, id| async move { acme.authorization(&request, &id).await }).await
}

/// `POST` to a challenge. RFC 8555 section 7.5.1.
async fn challenge(signed: Signed) -> HttpResponse {
    let ids =
        signed.id("authorization").and_then(|authorization| Ok((authorization, signed.id("challenge")?)));
    let target = ids.map(|ids| (signed.urls().challenge(&ids.0, &ids.1), ids));
    signed
        .run(target, |acme, request, (authorization, id)| async move {
            acme.challenge(&request, &authorization, &id).await
        })
        .await
}

/// `POST`-as-GET to a certificate. RFC 8555 section 7.4.2.
async fn certificate(signed: Signed) -> HttpResponse {
    let target = signed.id("certificate").map(|id| (signed.urls().certificate(&id), id));
    signed.run(target, |acme, request, id| async move { acme.certificate(&request, &id, 0).await }).await
}

/// `POST`-as-GET to another chain for a certificate. RFC 8555 section 7.4.2.
async fn alternate(signed: Signed) -> HttpResponse {
    let ids = signed.id("certificate").and_then(|id| Ok((id, signed.number("chain", 1)?)));
    let target = ids.map(|ids| (signed.urls().alternate(&ids.0, ids.1), ids));
    signed
        .run(target, |acme, request, (id, chain)| async move { acme.certificate(&request, &id, chain).await })
        .await
}

/// `POST`-as-GET to a certificate in a chain that certifies others. RFC 8555 section 7.4.2.
async fn issuer(signed: Signed) -> HttpResponse {
    let place = || Ok((signed.id("certificate")?, signed.number("chain", 0)?, signed.number("place", 1)?));
    let target =
        place().map(|(id, chain, place)| (signed.urls().issuer(&id, chain, place), (id, chain, place)));
    signed
        .run(target, |acme, request, (id, chain, place)| async move {
            acme.issuer_certificate(&request, &id, chain, place).await
        })
        .await
}

/// `POST newAuthz`. RFC 8555 section 7.4.1.
async fn new_authorization(signed: Signed) -> HttpResponse {
    let target = match signed.offers_new_authz() {
        true => signed.at(NEW_AUTHZ),
        false => Err(nothing_there()),
    };
    signed.run(target, |acme, request, ()| async move { acme.new_authorization(&request).await }).await
}

/// `GET renewalInfo`. RFC 9773 section 4.
async fn renewal_info(acme: Data<Acme>, identifier: Path<String>) -> HttpResponse {
    respond::write(acme.respond(acme.renewal_info(&identifier).await, false).await)
}

/// `GET` the root certificates.
async fn roots(acme: Data<Acme>) -> HttpResponse {
    respond::write(acme.respond(acme.roots(), false).await)
}

/// A method that the resource does not have. RFC 8555 section 6.3.
async fn wrong_method(acme: Data<Acme>, request: HttpRequest) -> HttpResponse {
    let error = Error::malformed("this resource does not have that method").with_status(405);
    respond::write(acme.respond(Err(error), *request.method() == Method::POST).await)
}

/// Nothing is there.
async fn not_found(acme: Data<Acme>, request: HttpRequest) -> HttpResponse {
    let error = nothing_there();
    respond::write(acme.respond(Err(error), *request.method() == Method::POST).await)
}

fn nothing_there() -> Error {
    Error::malformed("there is no such resource").with_status(404)
}

/// A resource that is read without authentication.
fn read(base: &str, path: &str, acme: &Data<Acme>) -> Resource {
    web::resource(format!("{base}{path}")).app_data(acme.clone()).default_service(web::to(wrong_method))
}

/// A resource in the scope of `/acme`, and what follows its path.
fn below(path: &str, rest: &str) -> Resource {
    let path = path.strip_prefix("/acme").unwrap_or(path);
    web::resource(format!("{path}{rest}")).default_service(web::to(wrong_method))
}
