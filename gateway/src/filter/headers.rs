// SPDX-License-Identifier: Apache-2.0
//! `RequestHeaderModifier`, `ResponseHeaderModifier`: set overwrites, add appends after what is there, remove removes.
//!
//! Spec: "Set overwrites the request with the given header (name, value) before the action. Add adds the given
//! header(s) to the request before the action. It appends to any existing values associated with the header name."
//! Framing and hop-by-hop fields are the data plane's: edits of them are left out here.

use torana_ir::{HeaderEdit, HeaderName, HeaderValue, MadeField};

use super::made::{self, Message, Scene};
use crate::head::{Head, Known, ResponseHead};

/// Edits request fields; `set` of `host` replaces the authority.
#[derive(Debug)]
pub struct RequestHeaders {
    edit: Edit,
    authority: Option<String>,
}

/// Edits response fields.
#[derive(Debug)]
pub struct ResponseHeaders {
    edit: Edit,
}

type Pair = (HeaderName, HeaderValue);

#[derive(Debug)]
struct Edit {
    set: Box<[Pair]>,
    add: Box<[Pair]>,
    remove: Box<[HeaderName]>,
    made: Box<[MadeField]>,
}

impl RequestHeaders {
    /// Prepares `edit`.
    pub fn compile(edit: &HeaderEdit) -> Self {
        let host = edit.set.iter().find(|(name, _)| name.as_str() == "host");
        Self { edit: Edit::compile(edit), authority: host.and_then(|(_, value)| authority(value.as_str())) }
    }

    /// Edits `head`. What fields are made of is in the `scene`.
    pub fn apply(&self, head: &mut Head, scene: Option<&Scene>) {
        if let Some(authority) = &self.authority {
            head.set_authority(authority);
        }
        self.edit.apply(head, scene);
    }
}

impl ResponseHeaders {
    /// Prepares `edit`.
    pub fn compile(edit: &HeaderEdit) -> Self {
        Self { edit: Edit::compile(edit) }
    }

    /// Edits `head`. What fields are made of is in the `scene`.
    pub fn apply(&self, head: &mut ResponseHead, scene: Option<&Scene>) {
        self.edit.apply(head, scene);
    }
}

impl Edit {
    fn compile(edit: &HeaderEdit) -> Self {
        let fields = |list: &[Pair]| list.iter().filter(|(name, _)| free(name)).cloned().collect();
        Self {
            set: fields(&edit.set),
            add: fields(&edit.add),
            remove: edit.remove.iter().filter(|name| free(name)).cloned().collect(),
            made: edit.made.iter().filter(|it| free(&it.name) && made::is_sound(it)).cloned().collect(),
        }
    }

    fn apply(&self, message: &mut impl Message, scene: Option<&Scene>) {
        let fields = message.fields();
        for (name, value) in &self.set {
            fields.set(name.as_str(), value.as_str().as_bytes());
        }
        for (name, value) in &self.add {
            fields.push(name.as_str().as_bytes(), value.as_str().as_bytes());
        }
        for name in &self.remove {
            fields.remove(name.as_str());
        }
        made::apply(&self.made, message, scene);
    }
}

/// A field that users may edit: it does not frame the message and belongs to no connection.
fn free(name: &HeaderName) -> bool {
    let known = Known::of(name.as_str().as_bytes());
    !known.hop_by_hop() && !matches!(known, Known::Host | Known::ContentLength | Known::Expect)
}

/// A value that can stand as `host[:port]`, in lower case.
fn authority(value: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte);
    (!value.is_empty() && value.bytes().all(fits)).then(|| value.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Scheme, Version};

    fn pairs(list: &[(&str, &str)]) -> Vec<(HeaderName, HeaderValue)> {
        list.iter().map(|(name, value)| (HeaderName::new(name).unwrap(), HeaderValue::new(value).unwrap())).collect()
    }

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com", "/");
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn set_overwrites_add_appends_remove_removes() {
        let edit = HeaderEdit {
            set: pairs(&[("X-Set", "new")]),
            add: pairs(&[("x-add", "b"), ("x-add", "c")]),
            remove: vec![HeaderName::new("X-Gone").unwrap()],
            made: Vec::new(),
        };
        let mut head = head(&[("x-set", "1"), ("X-Add", "a"), ("x-gone", "1"), ("x-set", "2"), ("x-gone", "2")]);
        RequestHeaders::compile(&edit).apply(&mut head, None);
        assert_eq!(head.fields.joined("x-set").as_deref(), Some("new"));
        assert_eq!(head.fields.joined("x-add").as_deref(), Some("a,b,c"));
        assert_eq!(head.fields.first("x-gone"), None);
    }

    #[test]
    fn setting_host_replaces_the_authority_if_it_can_be_one() {
        for (value, expected) in [("B.com:81", "b.com:81"), ("b c", "a.com"), ("b/c", "a.com"), ("u@b", "a.com")] {
            let mut head = head(&[]);
            let edit = HeaderEdit { set: pairs(&[("Host", value)]), ..HeaderEdit::default() };
            RequestHeaders::compile(&edit).apply(&mut head, None);
            assert_eq!(head.authority(), expected);
            assert!(head.fields.is_empty());
        }
    }

    #[test]
    fn framing_fields_cannot_be_edited() {
        let names = ["content-length", "transfer-encoding", "connection", "te", "upgrade", "expect", "trailer"];
        let listed: Vec<_> = names.iter().map(|name| (*name, "7")).collect();
        let remove = names.iter().map(|name| HeaderName::new(name).unwrap()).collect();
        let edit = HeaderEdit { set: pairs(&listed), add: pairs(&listed), remove, made: Vec::new() };
        let mut request = head(&[("upgrade", "websocket")]);
        RequestHeaders::compile(&edit).apply(&mut request, None);
        assert_eq!((request.fields.len(), request.fields.first("upgrade")), (1, Some(&b"websocket"[..])));
        let mut response = ResponseHead::new(200);
        ResponseHeaders::compile(&edit).apply(&mut response, None);
        assert!(response.fields.is_empty());
    }

    #[test]
    fn responses_are_edited_the_same_way() {
        let edit = HeaderEdit { add: pairs(&[("vary", "b")]), set: pairs(&[("server", "s")]), ..HeaderEdit::default() };
        let mut head = ResponseHead::new(200);
        head.fields.push(b"Vary", b"a");
        ResponseHeaders::compile(&edit).apply(&mut head, None);
        assert_eq!(head.fields.joined("vary").as_deref(), Some("a,b"));
        assert_eq!(head.fields.first("server"), Some(&b"s"[..]));
    }
}
