// SPDX-License-Identifier: Apache-2.0
//! The clients that people use, against the backends that people use: through one gateway, over HTTP and HTTPS, to
//! `torana echo` and to nginx.

mod chromium;

mod grpc;

mod tools;

mod websocket;

use torana_tests::{Authority, Echo, Nginx, World};

/// A gateway with both kinds of listeners before every kind of backend.
struct Stage {
    authority: Authority,
    nginx: Nginx,
    _echo: Echo,
    world: World,
}

impl Stage {
    /// `echo.example.com` and `nginx.example.com` are spoken to over HTTP/1, `echo-h2.` and `nginx-h2.` over HTTP/2;
    /// `more` manifests come with them.
    fn set(more: &str) -> Self {
        let (authority, nginx, echo) = (Authority::new(), Nginx::start(), Echo::start("echo"));
        let h2c = |name, port| World::service_speaking("kubernetes.io/h2c", name, port);
        let mut manifests = World::gateway_tls("certificate") + &authority.secret("certificate", &["*.example.com"]);
        manifests += &(World::service("echo", echo.port) + &World::service("nginx", nginx.port));
        manifests += &(h2c("echo-h2", echo.port) + &h2c("nginx-h2", nginx.h2c));
        for name in ["echo", "nginx", "echo-h2", "nginx-h2"] {
            manifests += &World::route(name, &format!("{name}.example.com"), name);
        }
        let world = World::start(&(manifests + more));
        Self { authority, nginx, _echo: echo, world }
    }
}

/// As [`Stage::set`], from a test that has a runtime.
async fn stage() -> Stage {
    tokio::task::spawn_blocking(|| Stage::set("")).await.unwrap()
}
