// SPDX-License-Identifier: Apache-2.0
//! How often Torana writes: little, once, and never about others' objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use torana_controller::api::access;

use super::{CONTROLLER, SYSTEM, backend, controllers_are_there, gateway, kubectl, lab, processes, route, until};

/// Of this many at once objects are written.
const AT_ONCE: usize = 16;

/// Writes EndpointSlices quickly.
pub(super) struct Churn {
    runtime: Runtime,
    slices: Api<EndpointSlice>,
}

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Churn {
    pub(super) fn start(namespace: &str) -> Self {
        let runtime = runtime();
        let client = runtime.block_on(access(None)).unwrap().client;
        Self { runtime, slices: Api::namespaced(client, namespace) }
    }

    pub(super) fn replace(&self, slice: &Value) {
        let slice: EndpointSlice = serde_json::from_value(slice.clone()).unwrap();
        let name = slice.metadata.name.clone().unwrap();
        self.runtime.block_on(self.slices.replace(&name, &PostParams::default(), &slice)).unwrap();
    }
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind), plural)
}

/// Counts the writes of every object of a kind, until it is dropped.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<BTreeMap<String, usize>>>);

impl Writes {
    /// From now on.
    async fn of(objects: Api<DynamicObject>) -> Self {
        let writes = Self::default();
        let version = objects.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let counted = writes.clone();
        tokio::spawn(async move {
            let mut changes = objects.watch(&WatchParams::default().timeout(290), &version).await.unwrap().boxed();
            while let Some(change) = changes.next().await {
                if let Ok(WatchEvent::Modified(object)) = change {
                    *counted.0.lock().unwrap().entry(object.metadata.name.unwrap()).or_default() += 1;
                }
            }
        });
        writes
    }

    fn all(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap().clone()
    }
}

fn routes() -> usize {
    std::env::var("TORANA_INCLUSTER_ROUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

fn object(number: usize, gateway: &str) -> DynamicObject {
    let spec = json!({"parentRefs": [{"name": gateway}], "hostnames": [format!("r{number}.example")],
        "rules": [{"backendRefs": [{"name": "echo", "port": 80}]}]});
    serde_json::from_value(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": format!("r{number}")}, "spec": spec}))
    .unwrap()
}

/// Creates that many routes of a Gateway.
async fn create(api: &Api<DynamicObject>, count: usize, gateway: &str) {
    let create = |number| async move { api.create(&PostParams::default(), &object(number, gateway)).await.unwrap() };
    stream::iter(0..count).map(create).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}

/// Creates that many routes of a Gateway, for the hosts r0.example and so on.
pub(super) async fn create_routes(namespace: &str, count: usize, gateway: &str) {
    let client = access(None).await.unwrap().client;
    create(&Api::namespaced_with(client, namespace, &resource("HTTPRoute", "httproutes")), count, gateway).await;
}

async fn delete(api: &Api<DynamicObject>, count: usize) {
    let delete =
        |number: usize| async move { drop(api.delete(&format!("r{number}"), &DeleteParams::default()).await.unwrap()) };
    stream::iter(0..count).map(delete).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}

#[test]
fn many_routes_are_one_write_each_and_few_of_their_gateway_and_counted_within_a_second() {
    let Some(lab) = lab() else { return };
    lab.apply(&(backend(1) + &gateway("edge", 1)));
    lab.address("edge");
    let count = routes();
    let of_gateway = runtime().block_on(async {
        let client = access(None).await.unwrap().client;
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &lab.namespace, &resource("HTTPRoute", "httproutes"));
        let gateways: Api<DynamicObject> =
            Api::namespaced_with(client, &lab.namespace, &resource("Gateway", "gateways"));
        let (of_routes, of_gateway) = (Writes::of(api.clone()).await, Writes::of(gateways.clone()).await);
        let attached = || async {
            let gateway = gateways.get("edge").await.unwrap();
            gateway.data["status"]["listeners"][0]["attachedRoutes"].as_u64().unwrap() as usize
        };
        create(&api, count, "edge").await;
        counted(attached, count).await;
        let end = Instant::now() + Duration::from_mins(1);
        while of_routes.all().len() < count {
            assert!(Instant::now() < end, "routes without a status");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        delete(&api, count).await;
        counted(attached, 0).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let written = of_routes.all();
        let often: Vec<_> = written.iter().filter(|(_, writes)| **writes != 1).collect();
        assert!(
            often.is_empty(),
            "{} of {count} routes were written more than once: {:?}",
            often.len(),
            often.iter().take(5).collect::<Vec<_>>()
        );
        of_gateway.all().get("edge").copied().unwrap_or_default()
    });
    println!("{count} routes: {of_gateway} writes of the Gateway");
    assert!(of_gateway <= 30, "{of_gateway} writes of the Gateway");
}

/// The number of attached routes is right a second after the last change.
async fn counted<F: Future<Output = usize>>(attached: impl Fn() -> F, wanted: usize) {
    let begin = Instant::now();
    while attached().await != wanted {
        assert!(begin.elapsed() < Duration::from_secs(1), "not {wanted} but {} after a second", attached().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{wanted} counted after {:?}", begin.elapsed());
}

#[test]
fn a_controller_that_starts_again_writes_no_status() {
    let Some(lab) = lab() else { return };
    lab.apply(&(backend(1) + &gateway("edge", 1) + &route("web", "edge", "a.example")));
    lab.address("edge");
    until("the route has a status", || lab.get("httproute", "web")["status"]["parents"].is_array());
    runtime().block_on(async {
        let client = access(None).await.unwrap().client;
        let mut watched =
            vec![Writes::of(Api::all_with(client.clone(), &resource("GatewayClass", "gatewayclasses"))).await];
        // Elsewhere objects of an earlier test may be on their way out.
        for (kind, plural) in [("HTTPRoute", "httproutes"), ("Gateway", "gateways")] {
            let api = Api::namespaced_with(client.clone(), &lab.namespace, &resource(kind, plural));
            watched.push(Writes::of(api).await);
        }
        tokio::task::spawn_blocking(|| {
            kubectl(&["-n", SYSTEM, "rollout", "restart", "deployment/torana"]);
            controllers_are_there();
        })
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_secs(15)).await;
        let written: Vec<_> = watched.iter().map(Writes::all).collect();
        assert!(written.iter().all(BTreeMap::is_empty), "{written:?}");
    });
}

#[test]
fn other_controllers_routes_are_never_written() {
    let Some(lab) = lab() else { return };
    let count = routes() * 5;
    lab.apply(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: somebody-elses}
spec: {controllerName: example.com/other}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: theirs}
spec: {gatewayClassName: somebody-elses, listeners: [{name: http, port: 80, protocol: HTTP}]}
",
    );
    runtime().block_on(async {
        let client = access(None).await.unwrap().client;
        let api: Api<DynamicObject> =
            Api::namespaced_with(client, &lab.namespace, &resource("HTTPRoute", "httproutes"));
        let (before, begin) = (processor_time(), Instant::now());
        create(&api, count, "theirs").await;
        let writes = Writes::of(api.clone()).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(writes.all().is_empty(), "{:?}", writes.all().len());
        delete(&api, count).await;
        let (spent, took) = (processor_time().saturating_sub(before), begin.elapsed());
        println!("{count} foreign routes created and deleted in {took:?}: the controllers took {spent:?}");
    });
}

/// What all controllers have spent.
fn processor_time() -> Duration {
    let ticks = processes(CONTROLLER).into_iter().map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    });
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
