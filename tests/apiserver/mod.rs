// SPDX-License-Identifier: Apache-2.0
//! What the controller writes, judged by a real API server. `TORANA_KUBECONFIG` says which; without it these tests say
//! that they were skipped. Gateway API's CRDs must be installed there. Every test has a namespace of its own.

mod agreement;

mod lease;

mod provision;

mod status;

mod tokens;

use std::env;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;
use torana_controller::api::access;

/// So long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A namespace of a real API server.
struct Lab {
    client: Client,
    namespace: String,
}

/// Runs `test` against the API server, if there is one.
fn with_lab<F: Future<Output = ()>>(test: impl FnOnce(Lab) -> F) {
    let Some(path) = env::var_os("TORANA_KUBECONFIG").map(PathBuf::from) else {
        println!("skipped: TORANA_KUBECONFIG is not set");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = access(Some(&path)).await.unwrap().client;
        let namespace = format!("torana-test-{:x}", fastrand::u64(..));
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let metadata = ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() };
        namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await.unwrap();
        let lab = Lab { client, namespace: namespace.clone() };
        tokio::task::LocalSet::new().run_until(test(lab)).await;
        namespaces.delete(&namespace, &DeleteParams::background()).await.unwrap();
    });
}

impl Lab {
    fn objects(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let resource = resource(kind, plural);
        if ["gatewayclasses", "clusteracmeissuers"].contains(&plural) {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        }
    }

    async fn create(&self, (kind, plural): (&str, &str), name: &str, spec: Value) -> Value {
        let objects = self.objects(kind, plural);
        let object = DynamicObject::new(name, &resource(kind, plural)).data(serde_json::json!({"spec": spec}));
        value(objects.create(&PostParams::default(), &object).await.unwrap())
    }

    async fn read(&self, (kind, plural): (&str, &str), name: &str) -> Value {
        value(self.objects(kind, plural).get(name).await.unwrap())
    }

    /// As somebody else.
    async fn merge(&self, (kind, plural): (&str, &str), name: &str, patch: Value) -> Value {
        let params = PatchParams { field_manager: Some("somebody".into()), ..PatchParams::default() };
        value(self.objects(kind, plural).patch(name, &params, &Patch::Merge(patch)).await.unwrap())
    }

    async fn merge_status(&self, (kind, plural): (&str, &str), name: &str, patch: Value) -> Result<Value, kube::Error> {
        let params = PatchParams { field_manager: Some("somebody".into()), ..PatchParams::default() };
        self.objects(kind, plural).patch_status(name, &params, &Patch::Merge(patch)).await.map(value)
    }
}

/// A kind of Gateway API, or one of our own.
fn resource(kind: &str, plural: &str) -> ApiResource {
    let (group, version) = match kind {
        "TrafficPolicy" | "AcmeIssuer" | "ClusterAcmeIssuer" => ("torana.dev", "v1alpha1"),
        _ => ("gateway.networking.k8s.io", "v1"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}

/// Waits until `found` finds something.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut found: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(it) = found().await {
            return it;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
