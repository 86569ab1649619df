//! What must stay refused, whichever replica is asked and whoever was killed meanwhile.

use std::sync::atomic::Ordering;

use coyote_jose::base64url;
use integration_tests::{Http, Key, Request, Signed, leaf};
use serde_json::{Value, json};

use crate::patient::Patient;

impl Patient {
    /// I01: a nonce that was used is used, also at another replica.
    pub fn replay(&self, another: &Http, request: &Request) {
        let Some(answer) = self.send(another, request) else { return };
        match answer.problem().as_deref() {
            Some("badNonce") => {
                self.tally.replays.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.tally.fail(format!("I01: a used nonce was accepted: {answer}")),
        }
    }

    /// I02: a nonce that nobody has issued is none, however much it looks like one.
    pub fn forge(&self, http: &Http) {
        let Some(nonce) = self.nonce(http) else { return };
        let forged: String = nonce.chars().rev().collect();
        let Some(answer) = self.send(http, &self.signed(http, &forged, &self.account, None)) else { return };
        match answer.problem().as_deref() {
            Some("badNonce") => {
                self.tally.forgeries.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.tally.fail(format!("I02: a made-up nonce was accepted: {answer}")),
        }
    }

    /// I04: once a key has been changed, the old one speaks for nobody.
    pub fn change_key(&mut self) -> Result<(), String> {
        let (url, new) = (self.resource("keyChange"), Key::new());
        let inner = Signed {
            target: url.clone(),
            protected: json!({"alg": new.alg, "jwk": new.jwk, "url": url}),
            payload: json!({"account": self.account, "oldKey": self.key.jwk}).to_string().into_bytes(),
            key: new.clone(),
        };
        let answer = self.post(&url, Some(&inner.flattened()))?;
        let old = std::mem::replace(&mut self.key, new);
        // Said again, because the answer was lost, it is refused: it comes from a key that has been given up.
        let known = self.post(&self.account, None)?;
        if known.status != 200 {
            return Err(format!("keyChange: {answer}; then, with the new key: {known}"));
        }
        for http in &self.replicas {
            let Some(nonce) = self.nonce(http) else { continue };
            let request = self.to_be_signed(http, &nonce, &self.account, None).signed_by(&old).request();
            match self.send(http, &request) {
                Some(answer) if answer.status < 300 => {
                    return Err(format!("I04: the old key is heard: {answer}"));
                }
                Some(answer) if answer.problem().as_deref() != Some("badNonce") => {
                    self.tally.old_keys.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// I13: what is revoked is so for good, and is not revoked twice.
    pub fn revoke(&self, chain: &str) -> Result<(), String> {
        let der = leaf(chain).to_der().map_err(|error| error.to_string())?;
        let payload: Value = json!({"certificate": base64url::encode(&der), "reason": 4});
        let url = self.resource("revokeCert");
        let first = self.post(&url, Some(&payload))?;
        let second = self.post(&url, Some(&payload))?;
        // Of a repetition: the first has done it.
        if first.status != 200 && first.problem().as_deref() != Some("alreadyRevoked") {
            return Err(format!("I13: a revocation was answered so: {first}"));
        }
        if second.problem().as_deref() != Some("alreadyRevoked") {
            return Err(format!("I13: a second revocation was answered so: {second}"));
        }
        self.tally.revoked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
