//! The catalogue: what may be answered.

use serde_json::Value;

use crate::probe::{Accepted, Observed};

/// One case, as far as the test needs it.
pub(crate) struct BadInput {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) kind: String,
    pub(crate) status: u16,
    pub(crate) storage_unchanged: bool,
    accepted: Vec<Accepted>,
}

/// All of it.
pub(crate) fn catalogue() -> Vec<BadInput> {
    let json: Value = serde_json::from_str(include_str!("../../bad_inputs.json")).expect("JSON");
    json["cases"].as_array().expect("cases").iter().map(BadInput::read).collect()
}

impl BadInput {
    fn read(case: &Value) -> Self {
        let text = |name: &str| case[name].as_str().expect(name).to_owned();
        let accepted = |status: &Value, kind: &Value| Accepted {
            status: status.as_u64().and_then(|status| status.try_into().ok()).expect("a status"),
            kind: kind.as_str().map(|kind| kind.trim_start_matches("urn:ietf:params:acme:error:").to_owned()),
        };
        let first = accepted(&case["expected_status"], &case["expected_type"]);
        let others = case["also_accept"].as_array().into_iter().flatten();
        let others = others.map(|other| accepted(&other["status"], &other["type"]));
        Self {
            id: text("id"),
            description: text("description"),
            kind: text("kind"),
            status: first.status,
            storage_unchanged: case["storage_unchanged"].as_bool().expect("storage_unchanged"),
            accepted: std::iter::once(first.clone()).chain(others).collect(),
        }
    }

    /// Whether this may be answered.
    pub(crate) fn accepts(&self, observed: &Observed) -> bool {
        self.accepted.iter().any(|accepted| accepted.matches(observed))
    }

    /// What may be answered, as text.
    pub(crate) fn expectation(&self) -> String {
        let each = self.accepted.iter().map(|accepted| format!("{} {:?}", accepted.status, accepted.kind));
        each.collect::<Vec<_>>().join(" or ")
    }
}
