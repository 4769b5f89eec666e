// SPDX-License-Identifier: Apache-2.0
//! `torana controller`: the control plane of a cluster. Watches the API server, programs any number of `torana-gateway`
//! pods, and writes what became of it into status. Serves no traffic.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use torana_controller::api::{self, Access, Client};
use torana_controller::clock::now;
use torana_controller::feed::{self, Ca, Hub, TokenReviews};
use torana_controller::leader::{self, Candidate, Leadership, Terms};
use torana_controller::metrics::Metrics;
use torana_controller::reconcile::authority::{Keeper, certificates};
use torana_controller::reconcile::install::{Installation, follow};
use torana_controller::reconcile::{Parts, Reconciler, proxies, session_key};
use torana_controller::source::kubernetes;
use torana_controller::status::{Board, recorder, writer};
use torana_controller::store::Settings;

use crate::acme::ClusterAcmeArgs;
use crate::health;
use crate::mesh_ca::{self, MeshCaArgs};
use torana_gateway::logging::{LogFormat, Logging};

/// The Secret with the authority of the feed.
const AUTHORITY: &str = "torana-feed-authority";
/// The Secret with what sessions of clients are sealed with.
const SESSIONS: &str = "torana-sessions";
/// The Lease that the replicas compete for.
const LEASE: &str = "torana-controller";
/// The proxies' own servers, which no listener may take the place of.
const RESERVED: [(u16, &str); 2] = [(15_021, "the health server"), (15_000, "the admin server")];

/// Arguments of `torana controller`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  torana controller                         in a pod, as the Helm chart starts it
  KUBECONFIG=~/.kube/config torana controller --namespace torana-system --pod-name me --proxy-image torana:dev

Replicas elect a leader; only that one programs proxies and writes.")]
pub struct ControllerArgs {
    /// Where proxies are programmed from
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:15012", env = "TORANA_FEED")]
    pub feed: SocketAddr,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8081", env = "TORANA_HEALTH")]
    pub health: SocketAddr,
    /// Where the controller lives [default: that of the pod or the kubeconfig]
    #[arg(long, value_name = "NAMESPACE", env = "TORANA_NAMESPACE")]
    pub namespace: Option<String>,
    /// The name of its pod, under which it stands for election
    #[arg(long, value_name = "NAME", env = "TORANA_POD_NAME")]
    pub pod_name: String,
    /// Image of the proxies
    #[arg(long, value_name = "IMAGE", env = "TORANA_PROXY_IMAGE")]
    pub proxy_image: String,
    /// The Service that leads proxies to the leader
    #[arg(long, value_name = "NAME", default_value = "torana-feed", env = "TORANA_FEED_SERVICE")]
    pub feed_service: String,
    /// Istio's revision that this is: objects labelled istio.io/rev for another are left alone
    #[arg(long, value_name = "NAME", default_value = "default", env = "TORANA_REVISION")]
    pub revision: String,
    /// How to reach the API server from outside [default: KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE", env = "TORANA_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// The authority of a mesh without Istio
    #[command(flatten)]
    pub mesh_ca: MeshCaArgs,
    /// Certificates by ACME
    #[command(flatten)]
    pub acme: ClusterAcmeArgs,
    /// Level of the log on standard error: error, warn, info, debug, trace, or a list like info,torana_controller=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "TORANA_LOG_LEVEL")]
    pub log_level: String,
    /// Format of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "TORANA_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// Runs until a signal; returns the exit code.
pub fn main(args: &ControllerArgs) -> anyhow::Result<u8> {
    let _logging = Logging::start(&args.log_level, args.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(args.clone()))
}

async fn run(args: ControllerArgs) -> anyhow::Result<u8> {
    let Access { client, namespace } = api::access(args.kubeconfig.as_deref()).await?;
    let namespace = args.namespace.clone().unwrap_or(namespace);
    let (ready, is_ready) = watch::channel(false);
    let metrics = Metrics::new()?;
    health::serve(args.health, is_ready, metrics.clone())
        .await
        .with_context(|| format!("cannot serve health at {}", args.health))?;
    let feed_listener =
        TcpListener::bind(args.feed).await.with_context(|| format!("cannot listen at {}", args.feed))?;
    let (leadership, leaderships) = watch::channel(Leadership::default());
    let (mesh, of_mesh) = watch::channel(BTreeSet::new());
    mesh_ca::start(args.mesh_ca, client.clone(), namespace.clone(), (leaderships.clone(), of_mesh)).await?;

    let keeper = Keeper::new(client.clone(), &namespace, AUTHORITY);
    let (authority, authorities) = watch::channel(keeper.authority().await);
    let sessions = session_key(client.clone(), &namespace, SESSIONS).await;
    let feed_name = format!("{}.{namespace}.svc", args.feed_service);
    let installation = Installation {
        namespace: namespace.clone(),
        image: args.proxy_image.clone(),
        service: args.feed_service.clone(),
        port: args.feed.port(),
        name: feed_name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let installs = follow(client.clone(), installation, authorities.clone()).await;
    let (hub, board) = (Hub::new(), Arc::new(Board::default()));
    tokio::spawn(keeper.keep(authority, leaderships.clone()));
    tokio::spawn(writer::write(client.clone(), Arc::clone(&board), leaderships.clone(), metrics.clone()));
    tokio::spawn(recorder::record(client.clone(), Arc::clone(&board), leaderships.clone(), args.pod_name.clone()));
    tokio::spawn(serve_feed(client.clone(), hub.clone(), feed_listener, feed_name, authorities, leaderships.clone()));
    let (parents, of_ours) = watch::channel(None);
    let heralds = args.acme.start((&client, &namespace), &hub, &leaderships, (&metrics, &board));
    let parts = Parts {
        hub,
        board,
        leadership: leaderships.clone(),
        pods: proxies::follow(client.clone()),
        install: installs,
        bundles: kubernetes::bundles(client.clone()),
        parents,
        mesh,
        heralds,
        ready,
        metrics,
    };
    let reserved = RESERVED.map(|(port, name)| (SocketAddr::from(([0, 0, 0, 0], port)), name)).to_vec();
    let (revision, acme) = (args.revision, args.acme.settings(&namespace));
    let settings = Settings { revision, acme, ..Settings::cluster(reserved, sessions, now()) };
    let reconciler = Reconciler::new(client.clone(), parts, settings);
    let (watched, head_start) = (client.clone(), leader::head_start(leaderships));
    let kubeconfig = args.kubeconfig.clone();
    let reconciling = tokio::spawn(async move {
        head_start.await;
        let routes = async move || api::access(kubeconfig.as_deref()).await.map(|access| access.client);
        match kubernetes::follow(&watched, routes, &of_ours) {
            Ok(sightings) => reconciler.run(sightings).await,
            Err(error) => tracing::error!(%error, "no thread to follow routes with"),
        }
    });

    let candidate = Candidate {
        namespace,
        lease: LEASE.to_owned(),
        identity: args.pod_name,
        is_pod: args.kubeconfig.is_none(),
        terms: Terms::default(),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            // Without the loop there is nothing to lead.
            _ = reconciling => tracing::error!("the control loop has ended"),
        }
    };
    leader::stand(client, candidate, leadership, stop).await;
    Ok(0)
}

/// Serves the feed whenever this replica may; losing that closes every stream.
async fn serve_feed(
    client: Client,
    hub: Hub,
    listener: TcpListener,
    name: String,
    authorities: watch::Receiver<Ca>,
    mut leadership: watch::Receiver<Leadership>,
) {
    let reviews = Arc::new(TokenReviews::new(client));
    let Some(configs) = certificates(authorities, vec![name], feed::tls) else { return };
    loop {
        if leadership.wait_for(|leadership| leadership.serves().is_some()).await.is_err() {
            return;
        }
        let mut over = leadership.clone();
        let shutdown = async move { drop(over.wait_for(|leadership| leadership.serves().is_none()).await) };
        hub.serve(&listener, configs.clone(), Arc::clone(&reviews), shutdown).await;
    }
}
