// SPDX-License-Identifier: Apache-2.0
//! Every black-box suite in one binary.

#[cfg(test)]
mod acme;

#[cfg(test)]
mod apiserver;

#[cfg(test)]
mod blackbox;

#[cfg(test)]
mod documents;

#[cfg(test)]
mod faults;

#[cfg(test)]
mod feed;

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod house;

#[cfg(test)]
mod incluster;

#[cfg(test)]
mod oracle;

#[cfg(test)]
mod policy;

#[cfg(test)]
mod traces;
