// SPDX-License-Identifier: Apache-2.0
//! One object, put into the cluster or taken out of it. Looks first whose it is: an object that bears the name of one
//! of ours and is not ours is left as it is, and said.

use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Client, Error};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::api::FIELD_MANAGER;
use crate::provision::desired::drift::{Belonging, belonging, owns_replicas};
use crate::provision::kinds::Place;

/// Who holds the number of replicas until an autoscaler has taken it.
const CARETAKER: &str = "torana-replicas";
/// What one call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// What of the API server's words is handed on.
const WORDS: usize = 500;

/// Why an object is not as desired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// It belongs to somebody else.
    #[error("{0} exists and is not Torana's; remove or rename it")]
    Foreign(Place),
    /// It is on its way out, with the Gateway of the same name before this one.
    #[error("{0} of an earlier Gateway of this name is still being removed")]
    Leaving(Place),
    /// The API server does not want it.
    #[error("{0} is refused: {1}")]
    Refused(Place, String),
    /// The API server could not be asked, or not now.
    #[error("{0}: {1}")]
    Unreachable(Place, String),
}

/// The Gateway for which something is done: its name and uid.
pub(super) type Owner<'a> = (&'a str, &'a str);

/// Applies one object (server-side, with force: what is desired holds against whoever changed it), and returns what
/// became of it.
pub(super) async fn apply(client: &Client, desired: &Value, owner: Owner<'_>) -> Result<Value, Failure> {
    let place = Place::of(desired);
    let api = api(client, &place)?;
    let mut patch = desired.clone();
    if let Some(live) = call(&place, api.get_opt(&place.name)).await? {
        let live = value(&place, &live)?;
        match belonging(&live, owner) {
            Belonging::Foreign => return Err(Failure::Foreign(place)),
            Belonging::Earlier => return Err(Failure::Leaving(place)),
            Belonging::Ours => {}
        }
        if !live["metadata"]["deletionTimestamp"].is_null() {
            return Err(Failure::Leaving(place));
        }
        // With its uid an object that came in between is refused instead of taken over.
        patch["metadata"]["uid"] = live["metadata"]["uid"].clone();
        if patch["spec"]["replicas"].is_null() && owns_replicas(&live, FIELD_MANAGER) {
            hand_over(&api, &place, &live).await?;
        }
    }
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let answer = call(&place, api.patch(&place.name, &parameters, &Patch::Apply(&patch))).await?;
    let answer = value(&place, &answer)?;
    match surplus_ports(&answer, desired) {
        None => Ok(answer),
        Some(removal) => {
            let left = call(&place, api.patch(&place.name, &PatchParams::default(), &removal)).await?;
            value(&place, &left)
        }
    }
}

/// Takes ports out of a Service that others put in: applying leaves them, since they are theirs, and they would be
/// reached at an address that is the Gateway's. Who removes an entry owns nothing by that.
fn surplus_ports(live: &Value, desired: &Value) -> Option<Patch<()>> {
    let ports = |object: &Value| object["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let wanted = ports(desired);
    if desired["kind"] != "Service" || wanted.is_empty() {
        return None;
    }
    let is_wanted = |port: &Value| {
        wanted.iter().any(|wanted| wanted["port"] == port["port"] && wanted["protocol"] == port["protocol"])
    };
    let live = ports(live);
    // The last first, so that the others stay where they are.
    let surplus = live.iter().enumerate().rev().filter(|(_, port)| !is_wanted(port));
    let steps: Vec<Value> = surplus
        .flat_map(|(at, port)| {
            let path = format!("/spec/ports/{at}");
            [
                json!({"op": "test", "path": format!("{path}/port"), "value": port["port"]}),
                json!({"op": "remove", "path": path}),
            ]
        })
        .collect();
    if steps.is_empty() { None } else { serde_json::from_value(steps.into()).ok().map(Patch::Json) }
}

/// Keeps the number of replicas while it is given from us to an autoscaler: a field that its last owner drops falls
/// back to its default, and a fleet of twenty would shrink to one (Kubernetes, "Transferring ownership").
async fn hand_over(api: &Api<DynamicObject>, place: &Place, live: &Value) -> Result<(), Failure> {
    let metadata = json!({"name": place.name, "namespace": place.namespace, "uid": live["metadata"]["uid"]});
    let patch = json!({"apiVersion": live["apiVersion"], "kind": place.kind, "metadata": metadata,
        "spec": {"replicas": live["spec"]["replicas"]}});
    let parameters = PatchParams::apply(CARETAKER);
    call(place, api.patch(&place.name, &parameters, &Patch::Apply(&patch))).await.map(drop)
}

/// Removes the object of that place, if it is still the one with that uid.
pub(super) async fn remove(client: &Client, place: &Place, uid: &str) -> Result<(), Failure> {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    let api = api(client, place)?;
    match timeout(DEADLINE, api.delete(&place.name, &parameters)).await {
        Ok(Ok(_)) => Ok(()),
        // Gone, or another one by now.
        Ok(Err(Error::Api(status))) if status.code == 404 || status.code == 409 => Ok(()),
        Ok(Err(error)) => Err(failure(place, &error)),
        Err(_) => Err(silent(place)),
    }
}

fn api(client: &Client, place: &Place) -> Result<Api<DynamicObject>, Failure> {
    let resource =
        place.resource().ok_or_else(|| Failure::Refused(place.clone(), "of no kind that is provisioned".into()))?;
    Ok(Api::namespaced_with(client.clone(), &place.namespace, &resource))
}

async fn call<T>(place: &Place, call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match timeout(DEADLINE, call).await {
        Ok(answer) => answer.map_err(|error| failure(place, &error)),
        Err(_) => Err(silent(place)),
    }
}

fn silent(place: &Place) -> Failure {
    Failure::Unreachable(place.clone(), format!("no answer within {} s", DEADLINE.as_secs()))
}

fn failure(place: &Place, error: &Error) -> Failure {
    match error {
        // A namespace on its way out takes nothing new, and soon takes the Gateway with it.
        Error::Api(status) if status.message.contains("being terminated") => Failure::Leaving(place.clone()),
        Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
            Failure::Refused(place.clone(), words(&status.message))
        }
        Error::Api(status) => Failure::Unreachable(place.clone(), words(&status.message)),
        other => Failure::Unreachable(place.clone(), words(&other.to_string())),
    }
}

/// One bounded line.
fn words(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn value(place: &Place, object: &DynamicObject) -> Result<Value, Failure> {
    let mut value =
        serde_json::to_value(object).map_err(|error| Failure::Unreachable(place.clone(), words(&error.to_string())))?;
    // Answers name it, entries of lists do not.
    value["kind"] = place.kind.clone().into();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_others_put_in_are_taken_out_from_the_end() {
        let service = |ports: Value| json!({"kind": "Service", "spec": {"ports": ports}});
        let port = |number: u16, protocol: &str| json!({"port": number, "protocol": protocol});
        let wanted = service(json!([port(80, "TCP"), port(53, "UDP")]));
        let live = service(json!([port(81, "TCP"), port(80, "TCP"), port(53, "TCP"), port(53, "UDP")]));
        let steps = match surplus_ports(&live, &wanted) {
            Some(Patch::Json(steps)) => serde_json::to_value(steps).unwrap(),
            other => panic!("{other:?}"),
        };
        let paths: Vec<&str> = steps
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["op"] == "remove")
            .map(|it| it["path"].as_str().unwrap())
            .collect();
        assert_eq!(paths, ["/spec/ports/2", "/spec/ports/0"]);
        assert!(surplus_ports(&wanted, &wanted).is_none());
        assert!(surplus_ports(&live, &json!({"kind": "ServiceAccount"})).is_none());
    }
}
