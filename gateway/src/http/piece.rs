// SPDX-License-Identifier: Apache-2.0
//! What bodies are made of, whatever protocol carries them.

use bytes::Bytes;

use crate::fault::Fault;
use crate::head::Fields;

/// The next part of a body.
pub(crate) enum Piece<'a> {
    /// Bytes of the body, never empty.
    Data(Data<'a>),
    /// The last bytes of the body and its end, never empty: both leave in one frame.
    Last(Data<'a>),
    /// The end, with trailers.
    Trailers(Fields),
    /// The end.
    End,
}

/// Body bytes: a view of the worker's scratch buffer, or a frame of HTTP/2.
pub(crate) enum Data<'a> {
    /// Valid until the scratch buffer is used again.
    Slice(&'a [u8]),
    /// Shared.
    Shared(Bytes),
}

impl Data<'_> {
    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Slice(slice) => slice,
            Self::Shared(bytes) => bytes,
        }
    }

    /// The bytes on their own: copies a view, shares a frame.
    pub(crate) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Slice(slice) => Bytes::copy_from_slice(slice),
            Self::Shared(bytes) => bytes.clone(),
        }
    }
}

/// Why one side of an exchange broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The client went away or its connection failed.
    Client,
    /// The client's bytes break the protocol.
    ClientProtocol(crate::fault::Reject),
    /// The backend's connection failed; `true` if no byte of a response had come.
    Upstream {
        /// No byte of the response had come.
        before_response: bool,
    },
    /// The backend refused the stream unprocessed (`REFUSED_STREAM`, GOAWAY below its id; RFC 9113 §8.7).
    Refused,
    /// The backend's bytes break the protocol.
    UpstreamProtocol,
}

impl Broken {
    /// What the client and the log are told.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::Client => Fault::ClientGone,
            Self::ClientProtocol(reject) => Fault::Rejected(reject),
            Self::Upstream { .. } | Self::Refused => Fault::UpstreamReset,
            Self::UpstreamProtocol => Fault::UpstreamProtocol,
        }
    }
}
