//! RFC 8555 section 7.3.4: external account binding.

use integration_tests::Key;
use serde_json::{Value, json};

use crate::{
    expect::Expect,
    promise::{Promise, must, not_applicable, should},
    server::{ExternalAccount, Server},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.3.4", "who requires external accounts says so in the directory", |server| {
        server.where_external_accounts_are_required(|server| {
            assert_eq!(*server.meta("externalAccountRequired"), json!(true));
        });
    }),
    should("7.3.4", "a newAccount without a binding is externalAccountRequired", |server| {
        server.where_external_accounts_are_required(|server| {
            let answer = server.client.new_account(&Key::new(), &json!({"termsOfServiceAgreed": true}));
            let _ = answer.refused_as("externalAccountRequired");
        });
    }),
    must("7.3.4", "a right binding is accepted", |server| {
        server.where_external_accounts_are_required(|server| {
            let _ = server.join(&Key::new(), json!({})).expect(201);
        });
    }),
    must("7.3.4", "the account shows its binding as it was sent", |server| {
        server.where_external_accounts_are_required(|server| {
            let key = Key::new();
            let payload = server.joining(&key, json!({}));
            let answer = server.client.new_account(&key, &payload).expect(201);
            let binding = &answer.json()["externalAccountBinding"];
            assert_eq!(*binding, payload["externalAccountBinding"], "got {answer}");
        });
    }),
    must("7.3.4", "a binding that was not verified is not shown", |server| {
        let key = Key::new();
        let nobody = ExternalAccount { kid: "nobody".into(), secret: vec![1; 32] };
        let binding = nobody.bind(&server.url("newAccount"), &key);
        let answer = server.join(&key, json!({"externalAccountBinding": binding}));
        if answer.status == 201 {
            assert!(answer.json().get("externalAccountBinding").is_none(), "got {answer}");
        } else {
            let _ = answer.refused();
        }
    }),
    must("7.3.4", "a binding that is no JWS is refused", |server| {
        for value in
            [json!({}), json!({"protected": "", "payload": "", "signature": ""}), json!("text"), json!(1)]
        {
            refused(server, move |_| value.clone());
        }
    }),
    must("7.3.4", "a binding whose alg is no MAC is refused", |server| {
        refused(server, |binding| binding.with("alg", json!("ES256")));
        refused(server, |binding| binding.with("alg", json!("none")));
    }),
    must("7.3.4", "a binding with a nonce is refused", |server| {
        refused(server, |binding| {
            let nonce = binding.server.client.new_nonce();
            binding.with("nonce", json!(nonce))
        });
    }),
    must("7.3.4", "a binding with another url than the request's is refused", |server| {
        refused(server, |binding| {
            let url = binding.server.url("newOrder");
            binding.with("url", json!(url))
        });
    }),
    must("7.3.4", "a binding by a key that the CA has not handed out is refused", |server| {
        refused(server, |binding| binding.with("kid", json!("nobody")));
    }),
    must("7.3.4", "a binding with a wrong MAC is refused", |server| {
        refused(server, |binding| {
            let other = ExternalAccount { secret: vec![7; 32], ..binding.external.clone() };
            other.sign(&binding.protected, &binding.key.jwk.to_string())
        });
    }),
    must("7.3.4", "a binding of another key than the account's is refused", |server| {
        refused(server, |binding| binding.external.sign(&binding.protected, &Key::new().jwk.to_string()));
    }),
];

/// What a binding is made of.
struct Binding<'s> {
    server: &'s Server,
    external: &'s ExternalAccount,
    key: &'s Key,
    protected: Value,
}

impl Binding<'_> {
    /// The binding with this parameter in its header.
    fn with(&self, name: &str, value: Value) -> Value {
        let mut protected = self.protected.clone();
        protected[name] = value;
        self.external.sign(&protected, &self.key.jwk.to_string())
    }
}

/// A newAccount with a binding that is made so is refused.
fn refused(server: &Server, spoil: impl Fn(&Binding<'_>) -> Value) {
    server.where_external_accounts_are_required(|server| {
        let key = Key::new();
        let Some(external) = &server.external_account else {
            not_applicable("the suite has no external account")
        };
        let protected = json!({"alg": "HS256", "kid": external.kid, "url": server.url("newAccount")});
        let binding = spoil(&Binding { server, external, key: &key, protected });
        let payload = json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding});
        let _ = server.client.new_account(&key, &payload).refused();
    });
}
