// SPDX-License-Identifier: Apache-2.0
//! One object of any spoken kind, and the types that it may be of. The one list of them outside [`Kind`].

use crate::core::{ConfigMap, EndpointSlice, Namespace, Pod, Secret, Service};
use crate::gateway::{Gateway, GatewayClass, ListenerSet};
use crate::issuer::{AcmeIssuer, ClusterAcmeIssuer};
use crate::istio::{
    AuthorizationPolicy, DestinationRule, EnvoyFilter, IstioGateway, PeerAuthentication, ProxyConfig,
    RequestAuthentication, ServiceEntry, Telemetry, VirtualService, WasmPlugin, WorkloadEntry,
};
use crate::kind::{Kind, ObjectRef};
use crate::meta::ObjectMeta;
use crate::parameters::GatewayParameters;
use crate::policy::{BackendTlsPolicy, ReferenceGrant};
use crate::route::{GrpcRoute, HttpRoute, TcpRoute, TlsRoute, UdpRoute};
use crate::traffic_policy::TrafficPolicy;

/// A type of object, of one spoken kind.
pub trait Spoken: Sized + 'static {
    /// Its kind.
    const KIND: Kind;
    /// The object, if it is of this type.
    fn of(object: &Object) -> Option<&Self>;
}

/// Every type is named as its [`Kind`].
macro_rules! objects {
    ($($type:ident),+ $(,)?) => {
        /// One object, decoded.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Object {$(
            #[doc = concat!("Of the kind [`Kind::", stringify!($type), "`].")]
            $type($type),
        )+}

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {$(Self::$type(_) => Kind::$type,)+}
            }

            /// Its metadata.
            pub fn meta(&self) -> &ObjectMeta {
                match self {$(Self::$type(it) => &it.meta,)+}
            }

            pub(crate) fn meta_mut(&mut self) -> &mut ObjectMeta {
                match self {$(Self::$type(it) => &mut it.meta,)+}
            }
        }

        $(impl Spoken for $type {
            const KIND: Kind = Kind::$type;
            fn of(object: &Object) -> Option<&Self> {
                match object {
                    Object::$type(it) => Some(it),
                    _ => None,
                }
            }
        })+
    };
}
objects!(
    GatewayClass,
    Gateway,
    ListenerSet,
    HttpRoute,
    GrpcRoute,
    TlsRoute,
    TcpRoute,
    UdpRoute,
    BackendTlsPolicy,
    ReferenceGrant,
    GatewayParameters,
    TrafficPolicy,
    AcmeIssuer,
    ClusterAcmeIssuer,
    IstioGateway,
    VirtualService,
    DestinationRule,
    ServiceEntry,
    WorkloadEntry,
    AuthorizationPolicy,
    RequestAuthentication,
    PeerAuthentication,
    Telemetry,
    EnvoyFilter,
    WasmPlugin,
    ProxyConfig,
    Service,
    EndpointSlice,
    Secret,
    ConfigMap,
    Namespace,
    Pod,
);

impl Object {
    /// Its name.
    pub fn reference(&self) -> ObjectRef {
        let meta = self.meta();
        ObjectRef::new(self.kind(), &meta.namespace, &meta.name)
    }
}
