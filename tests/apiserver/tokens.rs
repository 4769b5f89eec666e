// SPDX-License-Identifier: Apache-2.0
//! Tokens of proxies, as a real API server makes and judges them, and with the line to it cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use kube::client::Body;
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tonic::codegen::{BoxFuture, Service};
use torana_controller::feed::{AUDIENCE, Authenticate, PodIdentity, Refusal, TokenReviews};

use super::{Lab, with_lab};

/// A line to the API server that can be cut.
#[derive(Clone)]
struct Line {
    client: Client,
    cut: Arc<AtomicBool>,
}

impl Service<http::Request<Body>> for Line {
    type Response = http::Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { client, cut } = self.clone();
        Box::pin(async move {
            if cut.load(Ordering::Relaxed) {
                return Err("the line is cut".into());
            }
            Ok(client.send(request).await?)
        })
    }
}

impl Line {
    fn new(lab: &Lab) -> Self {
        Self { client: lab.client.clone(), cut: Arc::default() }
    }

    fn reviews(&self) -> TokenReviews {
        TokenReviews::new(Client::new(self.clone(), "default"))
    }
}

impl Lab {
    /// A service account and a pod of it, which nobody runs.
    async fn pod(&self, name: &str) -> Pod {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let account = serde_json::from_value(json!({"metadata": {"name": "edge"}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.ok();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pod = json!({
            "metadata": {"name": name},
            "spec": {
                "serviceAccountName": "edge", "schedulerName": "nobody",
                "containers": [{"name": "proxy", "image": "proxy"}],
            }
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
    }

    async fn token(&self, audience: &str, pod: Option<&Pod>) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let bound_object_ref = pod.map(|pod| BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        });
        let spec =
            TokenRequestSpec { audiences: vec![audience.to_owned()], bound_object_ref, expiration_seconds: Some(3600) };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let made = accounts.create_token_request("edge", &PostParams::default(), &request).await.unwrap();
        made.status.unwrap().token
    }

    fn identity(&self, pod: &Pod) -> PodIdentity {
        PodIdentity {
            namespace: self.namespace.clone(),
            service_account: "edge".to_owned(),
            pod_name: pod.name_any(),
            pod_uid: pod.uid().unwrap(),
        }
    }
}

#[test]
fn a_token_that_is_bound_to_a_pod_tells_it_and_no_other_is_taken() {
    with_lab(async |lab: Lab| {
        let pod = lab.pod("one").await;
        let reviews = Line::new(&lab).reviews();
        let good = lab.token(AUDIENCE, Some(&pod)).await;
        assert_eq!(reviews.identify(&good).await, Ok(lab.identity(&pod)));
        let tampered = tampered(&good);
        for bad in [
            lab.token("https://kubernetes.default.svc", Some(&pod)).await,
            lab.token(AUDIENCE, None).await,
            tampered,
            "garbage".to_owned(),
            String::new(),
        ] {
            let refused = reviews.identify(&bad).await;
            assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
        }
        let pods: Api<Pod> = Api::namespaced(lab.client.clone(), &lab.namespace);
        pods.delete("one", &DeleteParams::default().grace_period(0)).await.unwrap();
        let gone = super::eventually("refused", || async { reviews.identify(&good).await.err() }).await;
        assert!(matches!(gone, Refusal::Invalid(_)), "{gone:?}");
    });
}

#[test]
fn without_the_api_server_a_known_token_and_a_well_signed_one_are_taken() {
    with_lab(async |lab: Lab| {
        let (one, two) = (lab.pod("one").await, lab.pod("two").await);
        let line = Line::new(&lab);
        let reviews = line.reviews();
        let known = lab.token(AUDIENCE, Some(&one)).await;
        assert_eq!(reviews.identify(&known).await, Ok(lab.identity(&one)));
        let never_seen = lab.token(AUDIENCE, Some(&two)).await;
        let elsewhere = lab.token("elsewhere", Some(&two)).await;
        line.cut.store(true, Ordering::Relaxed);
        assert_eq!(reviews.identify(&known).await, Ok(lab.identity(&one)));
        assert_eq!(reviews.identify(&never_seen).await, Ok(lab.identity(&two)), "by its signature");
        let tampered = tampered(&never_seen);
        for bad in [elsewhere.as_str(), tampered.as_str(), "garbage"] {
            let refused = reviews.identify(bad).await;
            assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
        }
        // One that never saw the API server knows no keys, and says so.
        let refused = line.reviews().identify(&never_seen).await;
        assert!(matches!(refused, Err(Refusal::Unknown(_))), "{refused:?}");
    });
}

/// `token` with one character of its signature another one.
fn tampered(token: &str) -> String {
    let (head, tail) = token.split_at(token.len() - 20);
    let other = if tail.starts_with('x') { 'y' } else { 'x' };
    format!("{head}{other}{}", &tail[1..])
}
