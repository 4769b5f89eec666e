// SPDX-License-Identifier: Apache-2.0
//! Header modifiers. Fields that frame the message or belong to one connection only cannot be touched: changing them
//! would smuggle or cut messages (RFC 9110 §7.6.1, RFC 9112 §6). Never knows whether it is a request or a response.

use torana_crds::filter::{Header, HeaderModifier};
use torana_ir::{HeaderEdit, HeaderName, HeaderValue};

use crate::report::Remark;
use crate::translate::matches::fault;

/// Fields that a filter must not change.
const UNTOUCHABLE: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Checks a modifier at `at`.
pub(super) fn edit(modifier: &HeaderModifier, at: &str, faults: &mut Vec<Remark>) -> HeaderEdit {
    let mut remove = Vec::with_capacity(modifier.remove.len());
    for (index, name) in modifier.remove.iter().enumerate() {
        if let Some(name) = checked(name, &format!("{at}.remove[{index}]"), faults) {
            remove.push(name);
        }
    }
    HeaderEdit {
        set: fields(&modifier.set, &format!("{at}.set"), faults),
        add: fields(&modifier.add, &format!("{at}.add"), faults),
        remove,
        made: Vec::new(),
    }
}

/// Of several entries for one name the first counts (`HTTPHeader.name`).
fn fields(headers: &[Header], at: &str, faults: &mut Vec<Remark>) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(headers.len());
    for (index, header) in headers.iter().enumerate() {
        let Some(name) = checked(&header.name, &format!("{at}[{index}].name"), faults) else { continue };
        match HeaderValue::new(&header.value) {
            Ok(_) if fields.iter().any(|(known, _)| *known == name) => {}
            Ok(value) => fields.push((name, value)),
            Err(error) => faults.push(fault(&format!("{at}[{index}].value"), error.to_string(), "correct the value")),
        }
    }
    fields
}

fn checked(name: &str, at: &str, faults: &mut Vec<Remark>) -> Option<HeaderName> {
    match HeaderName::new(name) {
        Ok(name) if UNTOUCHABLE.contains(&name.as_str()) => {
            let remedy =
                if name.as_str() == "host" { "use URLRewrite to change the host" } else { "leave it to the proxy" };
            faults.push(fault(at, format!("{name} cannot be changed by a filter"), remedy));
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            faults.push(fault(at, error.to_string(), "correct the name"));
            None
        }
    }
}
