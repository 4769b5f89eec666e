// SPDX-License-Identifier: Apache-2.0
//! The authority of a mesh at a real API server, with the rights that the chart gives the controller: tokens of real
//! service accounts, its Secret, and the ConfigMaps with its roots.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use torana_controller::api::access;
use torana_controller::feed::Reviewer;
use torana_controller::leader::Leadership;
use torana_controller::mesh_ca::{self, AUDIENCE, Authority, MeshCa, Policy, ROOTS, ROOTS_KEY};
use torana_controller::reconcile::authority::{Keeper, certificates};
use torana_controller::reconcile::roots;
use torana_ir::wire::certificates::{IstioCertificateRequest, IstioCertificateResponse, PATH};

use super::lab::{SYSTEM, token};
use super::server::{Options, Server};
use super::{PATIENCE, RECOVERY, with_server, within};

const SECRET: &str = "torana-mesh-ca";
const NAME: &str = "torana-mesh-ca.torana-system.svc";
const LEADING: Leadership = Leadership::Leading { epoch: 1 };

/// The API server as the controller may use it.
async fn client(server: &Server) -> Client {
    let token = token(server, (SYSTEM, "torana"), None, "https://kubernetes.default.svc").await;
    let kubeconfig = server.kubeconfig("mesh-ca", &format!("token: {token}"), server.port);
    access(Some(&kubeconfig)).await.unwrap().client
}

/// A replica that serves, and leads or not.
struct Replica {
    channel: Channel,
    authority: Authority,
    leadership: watch::Sender<Leadership>,
}

impl Replica {
    async fn start(client: &Client, leadership: Leadership) -> Self {
        let keeper = Keeper::new(client.clone(), SYSTEM, SECRET);
        let authority: Authority = keeper.authority().await;
        let (sender, authorities) = watch::channel(authority.clone());
        let (leads, leadership) = watch::channel(leadership);
        tokio::spawn(keeper.keep(sender, leadership.clone()));
        let wanted = roots::labelled(client.clone());
        tokio::spawn(roots::publish(client.clone(), SYSTEM.to_owned(), wanted, authorities.clone(), leadership));
        let tls = certificates(authorities.clone(), vec![NAME.to_owned()], mesh_ca::tls).unwrap();
        let trust_domain = "cluster.local".parse().unwrap();
        let policy = Policy { trust_domain, lifetime: Duration::from_hours(1), cluster_id: None };
        let ca = Arc::new(MeshCa::new(policy, authorities, Reviewer::new(client.clone(), AUDIENCE)));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { ca.serve(&listener, tls, std::future::pending()).await });
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.bundle())).domain_name(NAME);
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        Self { channel: endpoint.tls_config(tls).unwrap().connect_lazy(), authority, leadership: leads }
    }

    /// What the token's certificate says whose it is.
    async fn identity(&self, token: &str) -> Result<String, Code> {
        loop {
            match self.ask(token).await {
                Ok(chain) => {
                    assert_eq!(chain.last(), Some(&self.authority.bundle()));
                    return Ok(uri(&chain[0]));
                }
                // After a token that is not good the connection ends, and what is asked meanwhile is asked again.
                Err(why) if why.code() == Code::Cancelled && why.source().is_some() => println!("again: {why}"),
                Err(why) => {
                    println!("{why}");
                    return Err(why.code());
                }
            }
        }
    }

    async fn ask(&self, token: &str) -> Result<Vec<String>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let mut request = Request::new(IstioCertificateRequest { csr, ..IstioCertificateRequest::default() });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let codec = ProstCodec::<IstioCertificateRequest, IstioCertificateResponse>::default();
        let path = http::uri::PathAndQuery::from_static(PATH);
        Ok(grpc.unary(request, path, codec).await?.into_inner().cert_chain)
    }
}

/// The one SPIFFE ID in a certificate.
fn uri(pem: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
    let id = b"spiffe://";
    let from = der.windows(id.len()).position(|window| window == id).expect("a SPIFFE ID");
    // Its length stands before it.
    let length = usize::from(der[from - 1]);
    String::from_utf8(der[from..from + length].to_vec()).unwrap()
}

fn maps(server: &Server, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(server.client.clone(), namespace)
}

async fn label(server: &Server, namespace: &str, value: Value) {
    let namespaces: Api<Namespace> = Api::all(server.client.clone());
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    namespaces.patch(namespace, &PatchParams::apply("somebody"), &Patch::Apply(&body)).await.unwrap();
    let labels = json!({"metadata": {"labels": {mesh_ca::LABEL: value}}});
    namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(&labels)).await.unwrap();
}

/// Waits until the namespace has these roots; returns the version of the object.
async fn has_roots(server: &Server, namespace: &str, authority: &Authority) -> String {
    within(RECOVERY, &format!("roots in {namespace}"), || async {
        let map = maps(server, namespace).get_opt(ROOTS).await.unwrap()?;
        let is_right = map.data.as_ref()?.get(ROOTS_KEY)? == &authority.bundle();
        is_right.then(|| map.resource_version().unwrap())
    })
    .await
}

async fn account(server: &Server, name: &str) {
    let accounts: Api<ServiceAccount> = Api::namespaced(server.client.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
}

#[test]
fn a_service_account_gets_its_certificate_for_a_token_of_the_right_audience_while_it_is_there() {
    with_server(Options::default(), async |mut server: Server| {
        let client = client(&server).await;
        let replica = Replica::start(&client, LEADING).await;
        account(&server, "shop").await;
        let good = token(&server, ("default", "shop"), None, AUDIENCE).await;
        let own = Ok("spiffe://cluster.local/ns/default/sa/shop".to_owned());
        assert_eq!(replica.identity(&good).await, own);
        for bad in [token(&server, ("default", "shop"), None, "torana-feed").await, "garbage".to_owned()] {
            assert_eq!(replica.identity(&bad).await, Err(Code::Unauthenticated));
        }
        assert_eq!(replica.identity(&good).await, own, "it goes on");
        server.vanish();
        assert_eq!(replica.identity(&good).await, Err(Code::Unavailable), "nobody can say whether it is still good");
        server.serve().await;
        within(RECOVERY, "certificates again", || async { replica.identity(&good).await.ok() }).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(server.client.clone(), "default");
        accounts.delete("shop", &DeleteParams::default()).await.unwrap();
        within(PATIENCE, "refused", || async { replica.identity(&good).await.err() }).await;
        assert_eq!(replica.identity(&good).await, Err(Code::Unauthenticated));
    });
}

#[test]
fn replicas_have_one_authority_and_its_roots_are_where_they_are_wanted() {
    with_server(Options::default(), async |server: Server| {
        let client = client(&server).await;
        label(&server, "early", json!("true")).await;
        label(&server, "never", json!("false")).await;
        let (one, two) = tokio::join!(Replica::start(&client, LEADING), Replica::start(&client, Leadership::Following));
        assert!(one.authority == two.authority);
        let authority = &one.authority;
        has_roots(&server, SYSTEM, authority).await;
        let version = has_roots(&server, "early", authority).await;
        label(&server, "late", json!("true")).await;
        has_roots(&server, "late", authority).await;
        let drift = json!({"data": {ROOTS_KEY: "nonsense", "more": "theirs"}});
        maps(&server, "late").patch(ROOTS, &PatchParams::default(), &Patch::Merge(&drift)).await.unwrap();
        has_roots(&server, "late", authority).await;
        maps(&server, "late").delete(ROOTS, &DeleteParams::default()).await.unwrap();
        has_roots(&server, "late", authority).await;
        assert_eq!(has_roots(&server, "early", authority).await, version, "nothing is written that is right");
        let managers = maps(&server, "early").get(ROOTS).await.unwrap().metadata.managed_fields.unwrap();
        let managers: Vec<_> = managers.iter().filter_map(|it| it.manager.as_deref()).collect();
        assert_eq!(managers, ["torana-mesh-ca"]);
        assert_eq!(maps(&server, "never").get_opt(ROOTS).await.unwrap(), None);
        // A label that goes takes nothing from pods, and what is deleted then stays away.
        label(&server, "late", Value::Null).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        has_roots(&server, "late", authority).await;
        maps(&server, "late").delete(ROOTS, &DeleteParams::default()).await.unwrap();
        // Whoever does not lead writes nothing.
        one.leadership.send_replace(Leadership::Following);
        maps(&server, "early").delete(ROOTS, &DeleteParams::default()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        for namespace in ["early", "late"] {
            assert_eq!(maps(&server, namespace).get_opt(ROOTS).await.unwrap(), None, "{namespace}");
        }
        two.leadership.send_replace(LEADING);
        has_roots(&server, "early", authority).await;
        assert_eq!(maps(&server, "late").get_opt(ROOTS).await.unwrap(), None);
    });
}

#[test]
fn a_damaged_secret_is_left_as_it_is_and_one_that_is_deleted_comes_back() {
    with_server(Options::default(), async |server: Server| {
        let client = client(&server).await;
        let secrets: Api<Secret> = Api::namespaced(server.client.clone(), SYSTEM);
        let damaged = json!({"metadata": {"name": SECRET}, "stringData": {"ca.crt": "no", "ca.key": "no"}});
        let damaged = secrets.create(&PostParams::default(), &serde_json::from_value(damaged).unwrap()).await.unwrap();
        let keeper = Keeper::new(client.clone(), SYSTEM, SECRET);
        let waits = tokio::time::timeout(Duration::from_secs(3), keeper.authority::<mesh_ca::MeshRoot>()).await;
        assert!(waits.is_err());
        let now = secrets.get(SECRET).await.unwrap();
        assert_eq!(now.resource_version(), damaged.resource_version());
        secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
        let replica = Replica::start(&client, LEADING).await;
        let data = secrets.get(SECRET).await.unwrap().data;
        secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
        // It looks once a minute.
        let back =
            within(PATIENCE + RECOVERY, "the Secret is back", || async { secrets.get_opt(SECRET).await.unwrap() });
        assert_eq!(back.await.data, data);
        account(&server, "shop").await;
        let token = token(&server, ("default", "shop"), None, AUDIENCE).await;
        assert!(replica.identity(&token).await.is_ok());
    });
}
