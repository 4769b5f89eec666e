// SPDX-License-Identifier: Apache-2.0
//! "Mirroring". Its images log what they are asked for; so does the sample backend.

use super::super::version;
use super::{Book, until, until_all_answer};
use crate::incluster::logs;

/// The page's versions.
const VERSIONS: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: httpbin
spec:
  host: httpbin
  subsets:
  - name: v1
    labels:
      version: v1
  - name: v2
    labels:
      version: v2
";

/// The page's rule to begin with.
const RULE: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: httpbin
spec:
  hosts:
    - httpbin
  http:
  - route:
    - destination:
        host: httpbin
        subset: v1
      weight: 100
";

/// What the page adds to it.
const MIRROR: &str = "    mirror:
      host: httpbin
      subset: v2
    mirrorPercentage:
      value: 100.0
";

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: httpbin}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
";

/// Lines of a version's log about requests for `path`.
fn seen(book: &Book, version: &str, path: &str) -> Vec<String> {
    let log = logs(&book.lab.namespace, &format!("app=httpbin,version={version}"), -1);
    log.lines().filter(|line| line.contains(path)).map(str::to_owned).collect()
}

pub(super) fn version_2_sees_what_version_1_answers(book: &Book) {
    let pods = ["v1", "v2"].map(|name| version("httpbin", name, 8080).replace("args: [echo, ", "args: [echo, --log, "));
    book.lab.apply(&(SERVICE.to_owned() + &pods.concat() + VERSIONS + "---" + RULE));
    book.is_available();
    until_all_answer(&book.edge, "httpbin", &["v1"]);
    assert_eq!(book.get("httpbin", "/before").from(), Some("v1"));
    assert_eq!((seen(book, "v1", "/before").len(), seen(book, "v2", "/before").len()), (1, 0));

    book.lab.apply(&format!("{RULE}{MIRROR}"));
    until("version 2 sees requests", || {
        book.get("httpbin", "/soon");
        !seen(book, "v2", "/soon").is_empty()
    });
    for number in 0..20 {
        assert_eq!(book.get("httpbin", &format!("/headers?{number}")).from(), Some("v1"));
    }
    until("version 2 has seen every request", || seen(book, "v2", "/headers").len() == 20);
    let (originals, copies) = (seen(book, "v1", "/headers"), seen(book, "v2", "/headers"));
    assert_eq!(originals.len(), 20);
    assert!(originals.iter().all(|line| line.contains("\"httpbin\"")), "{originals:#?}");
    assert!(copies.iter().all(|line| line.contains("\"httpbin-shadow\"")), "{copies:#?}");

    // Fire and forget: nobody waits for a copy, and nobody minds that it gets nowhere.
    book.lab.kubectl(&["scale", "deployment", "v2", "--replicas=0"]);
    until("version 2 is gone", || {
        book.lab.kubectl(&["get", "pods", "-l", "version=v2,app=httpbin", "-o", "name"]).is_empty()
    });
    assert_eq!(book.counts("httpbin", 20).into_keys().collect::<Vec<_>>(), ["v1"]);
    book.end();
}
