// SPDX-License-Identifier: Apache-2.0
//! `URLRewrite`.
//!
//! Spec: "HTTPURLRewriteFilter defines a filter that modifies a request during forwarding. At most one of these filters
//! may be used on a Route rule." The query stays as it came.

use torana_ir::{PathMode, PathRewrite};

use super::RequestContext;
use super::path::replaced;
use crate::fault::Reject;
use crate::head::Head;

/// Replaces host, path or both.
#[derive(Debug)]
pub struct Rewrite {
    authority: Option<String>,
    path: Option<PathRewrite>,
    mode: PathMode,
}

impl Rewrite {
    /// Prepares `rewrite` for a listener with paths of this mode.
    pub fn compile(rewrite: &torana_ir::Rewrite, mode: PathMode) -> Self {
        let authority = rewrite.host.as_ref().map(|name| name.as_str().to_owned());
        Self { authority, path: rewrite.path.clone(), mode }
    }

    /// Edits `head`. The context's prefix follows, so that a backend's own rewrite goes on from here. A path that
    /// would grow beyond bounds, or be none, is refused.
    pub fn apply(&self, head: &mut Head, context: &mut RequestContext) -> Result<(), Reject> {
        if let Some(authority) = &self.authority {
            head.set_authority(authority);
        }
        let Some(rewrite) = &self.path else { return Ok(()) };
        let path = replaced(rewrite, head.path(), context.prefix_len, self.mode)?;
        context.prefix_len = match rewrite {
            PathRewrite::Full(_) | PathRewrite::Regex(_) => path.len(),
            PathRewrite::Text(text) => text.len(),
            PathRewrite::Prefix(prefix) => prefix.trim_end_matches('/').len(),
        };
        head.set_path(&path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Scheme, Version};
    use torana_ir::Authority;

    fn rewritten(rewrites: &[PathRewrite], target: &str, prefix_len: usize) -> String {
        let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com:80", target);
        let mut context = RequestContext { prefix_len, random: 0 };
        for path in rewrites {
            let spec = torana_ir::Rewrite { host: None, path: Some(path.clone()) };
            Rewrite::compile(&spec, PathMode::Base).apply(&mut head, &mut context).unwrap();
        }
        assert_eq!(head.authority(), "a.com:80");
        head.target().to_owned()
    }

    #[test]
    fn the_query_stays() {
        assert_eq!(rewritten(&[PathRewrite::Full("/one".into())], "/a/b?x=%2f", 2), "/one?x=%2f");
        assert_eq!(rewritten(&[PathRewrite::Prefix("/one".into())], "/a/b?x", 2), "/one/b?x");
    }

    #[test]
    fn a_second_prefix_rewrite_goes_on_from_the_first() {
        let both = [PathRewrite::Prefix("/one/".into()), PathRewrite::Prefix("/two".into())];
        assert_eq!(rewritten(&both, "/a/b", 2), "/two/b");
    }

    #[test]
    fn the_rewritten_host_has_no_port() {
        let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com:80", "/");
        let spec = torana_ir::Rewrite { host: Authority::new("b.com").ok(), path: None };
        Rewrite::compile(&spec, PathMode::Base)
            .apply(&mut head, &mut RequestContext { prefix_len: 0, random: 0 })
            .unwrap();
        assert_eq!((head.authority(), head.target()), ("b.com", "/"));
    }
}
