// SPDX-License-Identifier: Apache-2.0
//! `HTTPFaultInjection`: delays and failures on purpose. Never draws lots.

use serde::Deserialize;

use crate::istio::matching::at_most_one;
use crate::istio::scalars::{Percent, words};
use crate::istio::{MaybeDuration, duration};

/// `HTTPFaultInjection`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// Requests wait.
    pub delay: Option<Delay>,
    /// Requests fail.
    pub abort: Option<Abort>,
}

/// `HTTPFaultInjection.Delay`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delay {
    /// For how long; `None`: not at all.
    #[serde(deserialize_with = "duration::optional")]
    pub fixed_delay: MaybeDuration,
    /// Of which share; none where nothing is given.
    pub percentage: Percent,
}

/// `HTTPFaultInjection.Abort`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "RawAbort")]
pub struct Abort {
    /// With what; `None`: not at all.
    pub status: Option<AbortStatus>,
    /// Of which share; none where nothing is given.
    pub percentage: Percent,
}

/// With what a request is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortStatus {
    /// A status code of HTTP.
    Http(u16),
    /// A status of gRPC.
    Grpc(GrpcStatus),
}

words! {
    /// A status of gRPC.
    GrpcStatus {
        /// 0.
        Ok = "OK",
        /// 1.
        Cancelled = "CANCELLED",
        /// 2.
        Unknown = "UNKNOWN",
        /// 3.
        InvalidArgument = "INVALID_ARGUMENT",
        /// 4.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// 5.
        NotFound = "NOT_FOUND",
        /// 6.
        AlreadyExists = "ALREADY_EXISTS",
        /// 7.
        PermissionDenied = "PERMISSION_DENIED",
        /// 8.
        ResourceExhausted = "RESOURCE_EXHAUSTED",
        /// 9.
        FailedPrecondition = "FAILED_PRECONDITION",
        /// 10.
        Aborted = "ABORTED",
        /// 11.
        OutOfRange = "OUT_OF_RANGE",
        /// 12.
        Unimplemented = "UNIMPLEMENTED",
        /// 13.
        Internal = "INTERNAL",
        /// 14.
        Unavailable = "UNAVAILABLE",
        /// 15.
        DataLoss = "DATA_LOSS",
        /// 16.
        Unauthenticated = "UNAUTHENTICATED",
    }
}

impl GrpcStatus {
    /// Its number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawAbort {
    http_status: Option<u16>,
    grpc_status: Option<GrpcStatus>,
    percentage: Percent,
}

impl TryFrom<RawAbort> for Abort {
    type Error = String;

    fn try_from(raw: RawAbort) -> Result<Self, String> {
        let given = [
            ("httpStatus", raw.http_status.map(AbortStatus::Http)),
            ("grpcStatus", raw.grpc_status.map(AbortStatus::Grpc)),
        ];
        Ok(Self { status: at_most_one(given)?, percentage: raw.percentage })
    }
}
