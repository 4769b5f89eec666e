// SPDX-License-Identifier: Apache-2.0
//! Whom proxies are provisioned for: a Gateway of Gateway API, or parameters that are an ingress by themselves. What the
//! two have in common is decided here; nobody else asks which of them it is.

use torana_crds::gateway::{Gateway, GatewayAddressType};
use torana_crds::parameters::GatewayParameters;
use torana_crds::{ObjectMeta, StringMap};

use crate::provision::desired::names;
use crate::provision::desired::objects::{APP_NAME, GATEWAY_NAME};
use crate::translate::infrastructure::{self, Metadata};

/// `torana.dev/ingress`: whose object it is, and part of every selector.
const INGRESS_NAME: &str = "torana.dev/ingress";
/// The class of a Gateway that something is provisioned for (GEP-1762).
const CLASS_NAME: &str = "gateway.networking.k8s.io/gateway-class-name";

/// Whoever has proxies of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A Gateway.
    Gateway(&'a Gateway),
    /// Parameters with `ingress`.
    Ingress(&'a GatewayParameters),
}

impl<'a> Subject<'a> {
    /// The metadata of the object itself, which owns what is provisioned.
    pub fn meta(self) -> &'a ObjectMeta {
        match self {
            Self::Gateway(gateway) => &gateway.meta,
            Self::Ingress(parameters) => &parameters.meta,
        }
    }

    /// The name of nearly everything that is provisioned.
    pub fn name(self) -> String {
        match self {
            Self::Gateway(gateway) => names::name(gateway),
            Self::Ingress(parameters) => names::of_service(&parameters.meta.name),
        }
    }

    /// `apiVersion` and `kind` of the owner.
    pub(super) fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Gateway(_) => ("gateway.networking.k8s.io/v1", "Gateway"),
            Self::Ingress(_) => ("torana.dev/v1alpha1", "GatewayParameters"),
        }
    }

    /// Labels and annotations that users ask for. What is reserved or invalid among them is said where the object is
    /// judged.
    pub(super) fn metadata(self) -> Metadata {
        match self {
            Self::Gateway(gateway) => infrastructure::metadata(gateway),
            Self::Ingress(parameters) => infrastructure::of_ingress(parameters),
        }
    }

    /// Labels that only its pods have.
    pub(super) fn selector(self) -> StringMap {
        let name = names::label(&self.meta().name);
        let key = match self {
            Self::Gateway(_) => GATEWAY_NAME,
            Self::Ingress(_) => INGRESS_NAME,
        };
        StringMap::from([(APP_NAME.0.to_owned(), APP_NAME.1.to_owned()), (key.to_owned(), name)])
    }

    /// Labels by which people find what belongs to it.
    pub(super) fn class(self) -> Option<(&'static str, String)> {
        match self {
            Self::Gateway(gateway) => Some((CLASS_NAME, names::label(&gateway.spec.gateway_class_name))),
            Self::Ingress(_) => None,
        }
    }

    /// The first address that it names: a Service has room for one.
    pub(super) fn address(self) -> Option<&'a str> {
        let Self::Gateway(gateway) = self else { return None };
        let named = gateway.spec.addresses.iter();
        let named = named.filter(|address| address.address_type == GatewayAddressType::IPAddress);
        named.map(|address| address.value.as_str()).find(|value| !value.is_empty())
    }
}
