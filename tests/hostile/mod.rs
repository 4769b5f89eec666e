// SPDX-License-Identifier: Apache-2.0
//! Hostile input: one row a case over raw sockets, against a backend that finds fault with everything that is not
//! canonical. Ids are those of the acceptance list (A: framing, D: normalisation, R: resources, B: HTTP/2).

mod row;

mod oracle;

mod lengths;

mod codings;

mod chunks;

mod names;

mod lines;

mod targets;

mod paths;

mod limits;

mod answers;

mod connections;

mod crowds;

mod frames;

mod http2;

mod floods;

mod tls;

mod regexes;

mod pending;
