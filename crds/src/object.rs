// SPDX-License-Identifier: Apache-2.0
//! One object of any spoken kind.

use crate::core::{ConfigMap, EndpointSlice, Namespace, Secret, Service};
use crate::gateway::{Gateway, GatewayClass, ListenerSet};
use crate::kind::{Kind, ObjectRef};
use crate::meta::ObjectMeta;
use crate::policy::{BackendTlsPolicy, ReferenceGrant};
use crate::route::{GrpcRoute, HttpRoute, TcpRoute, TlsRoute, UdpRoute};

/// One object, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "passed in a box, and taken apart where it is stored")]
pub enum Object {
    /// GatewayClass.
    GatewayClass(GatewayClass),
    /// Gateway.
    Gateway(Gateway),
    /// ListenerSet.
    ListenerSet(ListenerSet),
    /// HTTPRoute.
    HttpRoute(HttpRoute),
    /// GRPCRoute.
    GrpcRoute(GrpcRoute),
    /// TLSRoute.
    TlsRoute(TlsRoute),
    /// TCPRoute.
    TcpRoute(TcpRoute),
    /// UDPRoute.
    UdpRoute(UdpRoute),
    /// BackendTLSPolicy.
    BackendTlsPolicy(BackendTlsPolicy),
    /// ReferenceGrant.
    ReferenceGrant(ReferenceGrant),
    /// Service.
    Service(Service),
    /// EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// Secret.
    Secret(Secret),
    /// ConfigMap.
    ConfigMap(ConfigMap),
    /// Namespace.
    Namespace(Namespace),
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::GatewayClass(_) => Kind::GatewayClass,
            Self::Gateway(_) => Kind::Gateway,
            Self::ListenerSet(_) => Kind::ListenerSet,
            Self::HttpRoute(_) => Kind::HttpRoute,
            Self::GrpcRoute(_) => Kind::GrpcRoute,
            Self::TlsRoute(_) => Kind::TlsRoute,
            Self::TcpRoute(_) => Kind::TcpRoute,
            Self::UdpRoute(_) => Kind::UdpRoute,
            Self::BackendTlsPolicy(_) => Kind::BackendTlsPolicy,
            Self::ReferenceGrant(_) => Kind::ReferenceGrant,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Secret(_) => Kind::Secret,
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::Namespace(_) => Kind::Namespace,
        }
    }

    /// Its metadata.
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::GatewayClass(it) => &it.meta,
            Self::Gateway(it) => &it.meta,
            Self::ListenerSet(it) => &it.meta,
            Self::HttpRoute(it) => &it.meta,
            Self::GrpcRoute(it) => &it.meta,
            Self::TlsRoute(it) => &it.meta,
            Self::TcpRoute(it) => &it.meta,
            Self::UdpRoute(it) => &it.meta,
            Self::BackendTlsPolicy(it) => &it.meta,
            Self::ReferenceGrant(it) => &it.meta,
            Self::Service(it) => &it.meta,
            Self::EndpointSlice(it) => &it.meta,
            Self::Secret(it) => &it.meta,
            Self::ConfigMap(it) => &it.meta,
            Self::Namespace(it) => &it.meta,
        }
    }

    pub(crate) fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::GatewayClass(it) => &mut it.meta,
            Self::Gateway(it) => &mut it.meta,
            Self::ListenerSet(it) => &mut it.meta,
            Self::HttpRoute(it) => &mut it.meta,
            Self::GrpcRoute(it) => &mut it.meta,
            Self::TlsRoute(it) => &mut it.meta,
            Self::TcpRoute(it) => &mut it.meta,
            Self::UdpRoute(it) => &mut it.meta,
            Self::BackendTlsPolicy(it) => &mut it.meta,
            Self::ReferenceGrant(it) => &mut it.meta,
            Self::Service(it) => &mut it.meta,
            Self::EndpointSlice(it) => &mut it.meta,
            Self::Secret(it) => &mut it.meta,
            Self::ConfigMap(it) => &mut it.meta,
            Self::Namespace(it) => &mut it.meta,
        }
    }

    /// Its name.
    pub fn reference(&self) -> ObjectRef {
        let meta = self.meta();
        ObjectRef::new(self.kind(), &meta.namespace, &meta.name)
    }
}
