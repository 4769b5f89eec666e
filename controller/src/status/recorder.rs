// SPDX-License-Identifier: Apache-2.0
//! Carries Events to the API server, a few a second and only while this replica leads. Status never waits for it: what
//! cannot be told in time is dropped and counted in the log.

use std::sync::Arc;
use std::time::Instant;

use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use torana_crds::Kind;

use crate::api::Failure;
use crate::class::CONTROLLER_NAME;
use crate::leader::Leadership;
use crate::status::board::Board;
use crate::status::call;
use crate::status::events::Event;
use crate::status::queue::{Bucket, Rate};

/// Events are for people, who read some a second at best.
const RATE: Rate = Rate { per_second: 10.0, burst: 50.0 };

/// Tells until whoever tells the leadership is gone. `instance` is the name of this pod.
pub async fn record(client: Client, board: Arc<Board>, mut leadership: watch::Receiver<Leadership>, instance: String) {
    let mut bucket = Bucket::new(RATE, Instant::now());
    loop {
        if !leadership.borrow_and_update().leads() {
            board.keep_quiet();
        } else if let Some((event, dropped)) = board.event() {
            if dropped > 0 {
                tracing::warn!(dropped, "events were dropped");
            }
            tokio::time::sleep_until(bucket.next(Instant::now()).into()).await;
            bucket.next(Instant::now());
            bucket.spend();
            if let Err(why) = tell(&client, &event, &instance).await {
                tracing::debug!(object = %event.object, reason = event.reason, %why, "event not told");
            }
            continue;
        }
        tokio::select! {
            () = board.told.notified() => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

async fn tell(client: &Client, event: &Event, instance: &str) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    let Some(body) = body(event, instance, now) else { return Ok(()) };
    let (namespace, name) = (event.namespace(), event.name());
    match call::create_event(client, namespace, &body).await {
        // The same words about the same object: it happened again.
        Err(Failure::Conflict) => {
            let stored = call::read_event(client, namespace, &name).await?;
            call::patch_event(client, namespace, &name, &again(&stored, now)).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn body(event: &Event, instance: &str, now: jiff::Timestamp) -> Option<Value> {
    let kind: Kind = event.object.known_kind()?;
    let mut regarding = json!({
        "apiVersion": format!("{}/{}", kind.group(), event.api_version),
        "kind": kind.as_str(),
        "name": event.object.name,
        "uid": event.uid,
    });
    if kind.is_namespaced() {
        regarding["namespace"] = event.object.namespace.as_str().into();
    }
    Some(json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event.name(), "namespace": event.namespace()},
        "eventTime": micro(now),
        "reportingController": CONTROLLER_NAME,
        "reportingInstance": cut_instance(instance),
        "action": "Reconcile",
        "reason": event.reason,
        "regarding": regarding,
        "note": event.note,
        "type": if event.is_warning { "Warning" } else { "Normal" },
    }))
}

/// `reportingInstance`: not empty, at most 128 bytes.
fn cut_instance(instance: &str) -> &str {
    if instance.is_empty() { "torana" } else { crate::status::merge::cut(instance, 128) }
}

/// A merge patch that counts one more.
fn again(stored: &Value, now: jiff::Timestamp) -> Value {
    let count = stored["series"]["count"].as_i64().unwrap_or(1).saturating_add(1).min(i64::from(i32::MAX));
    json!({"series": {"count": count, "lastObservedTime": micro(now)}})
}

/// `MicroTime` of Kubernetes: always six digits after the second.
fn micro(time: jiff::Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use torana_crds::ObjectRef;

    use super::*;

    #[test]
    fn an_event_regards_the_object_and_fits_the_api() {
        let event = Event {
            object: ObjectRef::new(Kind::GatewayClass, "", "torana"),
            api_version: "v1".into(),
            uid: "u".into(),
            is_warning: false,
            reason: "Accepted".into(),
            note: "fine".into(),
        };
        let now = jiff::Timestamp::from_second(1_798_761_600).unwrap();
        let body = body(&event, "", now).unwrap();
        assert_eq!(body["metadata"]["namespace"], "default");
        assert_eq!(body["eventTime"], "2027-01-01T00:00:00.000000Z");
        assert_eq!(body["regarding"]["apiVersion"], "gateway.networking.k8s.io/v1");
        assert_eq!(body["regarding"].get("namespace"), None);
        assert_eq!((&body["reportingInstance"], &body["type"]), (&"torana".into(), &"Normal".into()));
    }

    #[test]
    fn what_happens_again_is_counted() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        assert_eq!(again(&json!({}), now)["series"]["count"], 2);
        assert_eq!(again(&json!({"series": {"count": 2}}), now)["series"]["count"], 3);
    }
}
