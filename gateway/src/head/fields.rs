// SPDX-License-Identifier: Apache-2.0
//! A flat list of header fields over one buffer.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::known::Known;

/// Where a field's texts lie in the buffer.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    name_at: u32,
    name_len: u32,
    value_at: u32,
    value_len: u32,
    /// What the name means to the data plane.
    pub known: Known,
}

/// Header fields in the order they came. Names are in lower case. Values are bytes (obs-text is allowed).
#[derive(Clone, Default)]
pub struct Fields {
    buffer: Vec<u8>,
    list: Vec<Field>,
}

impl Fields {
    /// Room for `bytes` of text and `fields` fields.
    pub fn with_capacity(bytes: usize, fields: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), list: Vec::with_capacity(fields) }
    }

    /// Appends a field; the name is lower-cased.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_if(name, value, |_, _| true);
    }

    /// Appends a field if `keep`, which is shown its meaning and its lower-case name, says so; gives the meaning.
    pub fn push_if(&mut self, name: &[u8], value: &[u8], keep: impl FnOnce(Known, &[u8]) -> bool) -> Known {
        let name_at = self.buffer.len();
        self.buffer.extend_from_slice(name);
        self.buffer[name_at..].make_ascii_lowercase();
        let known = Known::of(&self.buffer[name_at..]);
        if !keep(known, &self.buffer[name_at..]) {
            self.buffer.truncate(name_at);
            return known;
        }
        let value_at = self.buffer.len();
        self.buffer.extend_from_slice(value);
        self.list.push(Field {
            name_at: name_at as u32,
            name_len: name.len() as u32,
            value_at: value_at as u32,
            value_len: value.len() as u32,
            known,
        });
        known
    }

    /// Appends a field whose value is exactly what `write` appends; `name` is in lower case.
    pub fn push_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let name_at = self.buffer.len();
        self.buffer.extend_from_slice(name);
        let value_at = self.buffer.len();
        write(&mut self.buffer);
        self.list.push(Field {
            name_at: name_at as u32,
            name_len: name.len() as u32,
            value_at: value_at as u32,
            value_len: (self.buffer.len() - value_at) as u32,
            known: Known::of(name),
        });
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// No field at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of all names and values that are left.
    pub fn text_len(&self) -> usize {
        self.list.iter().map(|field| (field.name_len + field.value_len) as usize).sum()
    }

    /// Every field: meaning, name, value.
    pub fn iter(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> {
        self.list.iter().map(|field| (field.known, self.name(field), self.value(field)))
    }

    /// Every field with its value as a part of one copy of all texts: what the `http` crate keeps without copying again.
    pub(crate) fn shared(&self) -> impl Iterator<Item = (Known, &[u8], Bytes)> {
        let texts = Bytes::copy_from_slice(&self.buffer);
        self.list.iter().map(move |field| {
            let start = field.value_at as usize;
            (field.known, self.name(field), texts.slice(start..start + field.value_len as usize))
        })
    }

    /// The first value of `name` (lower case).
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// All values of `name` (lower case), in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.list.iter().filter(move |field| self.name(field) == name.as_bytes()).map(|field| self.value(field))
    }

    /// All values of `name` as one, joined with a comma (RFC 9110 §5.3); `None` if absent, lossy outside UTF-8.
    pub fn joined(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.values(name);
        let first = text(values.next()?);
        Some(values.fold(first, |joined, next| Cow::Owned(format!("{joined},{}", text(next)))))
    }

    /// The first value with this meaning.
    pub fn first_known(&self, known: Known) -> Option<&[u8]> {
        self.list.iter().find(|field| field.known == known).map(|field| self.value(field))
    }

    /// One field of this name and value, in place of all that were there.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.push(name.as_bytes(), value);
    }

    /// Drops every field of `name` (lower case).
    pub fn remove(&mut self, name: &str) {
        self.retain(|_, field_name, _| field_name != name.as_bytes());
    }

    /// Keeps the fields for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(Known, &[u8], &[u8]) -> bool) {
        let buffer = &self.buffer;
        self.list.retain(|field| {
            keep(
                field.known,
                span(buffer, field.name_at, field.name_len),
                span(buffer, field.value_at, field.value_len),
            )
        });
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.list.clear();
    }

    fn name(&self, field: &Field) -> &[u8] {
        span(&self.buffer, field.name_at, field.name_len)
    }

    fn value(&self, field: &Field) -> &[u8] {
        span(&self.buffer, field.value_at, field.value_len)
    }
}

fn span(buffer: &[u8], at: u32, len: u32) -> &[u8] {
    &buffer[at as usize..(at + len) as usize]
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        f.debug_list().entries(self.iter().map(|(_, name, value)| (text(name), text(value)))).finish()
    }
}

/// A value as text. Nearly all are UTF-8, which is seen many bytes at a time; what replaces the rest looks at each.
fn text(value: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_whatever_case_they_came_in() {
        let mut fields = Fields::default();
        fields.push(b"X-One", b"1");
        fields.push(b"HOST", b"a");
        fields.push(b"x-one", b"2");
        assert_eq!(fields.joined("x-one").as_deref(), Some("1,2"));
        assert_eq!(fields.first_known(Known::Host), Some(&b"a"[..]));
        fields.set("x-one", b"3");
        assert_eq!(fields.values("x-one").collect::<Vec<_>>(), [b"3"]);
        fields.remove("x-one");
        assert_eq!((fields.len(), fields.first("x-one")), (1, None));
    }
}
