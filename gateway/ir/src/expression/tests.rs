// SPDX-License-Identifier: Apache-2.0
//! What expressions say of one request.

use super::*;

/// `GET https://shop.example/a/b?c` with a status of 404 after 20 ms, of a client without a certificate.
fn fact(attribute: &Attribute) -> Option<Fact<'static>> {
    let text = |text: &'static str| Some(Fact::Text(text.into()));
    match attribute {
        Attribute::Method => text("GET"),
        Attribute::Host => text("shop.example"),
        Attribute::Path => text("/a/b?c"),
        Attribute::UrlPath => text("/a/b"),
        Attribute::Header(name) if name.as_str() == "user-agent" => text("curl/8.0"),
        Attribute::Header(name) if name.as_str() == "x-a" => text(""),
        Attribute::Duration => Some(Fact::Time(Duration::from_millis(20))),
        Attribute::RequestSize => Some(Fact::Number(0)),
        Attribute::Code => Some(Fact::Number(404)),
        Attribute::Mutual => Some(Fact::Flag(false)),
        Attribute::LocalPort => Some(Fact::Number(443)),
        _ => None,
    }
}

fn holds(source: &str) -> bool {
    let expression = Expression::new(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let facts: Vec<_> = expression.attributes().iter().map(fact).collect();
    expression.holds(&facts)
}

#[test]
fn an_expression_is_true_or_not() {
    for source in [
        "true",
        "response.code >= 400",
        "response.code == 404 && request.method == 'GET'",
        "request.url_path.contains('/b') && !connection.mtls",
        "request.url_path.startsWith('/a') && request.path.endsWith('?c')",
        "request.host.matches('^shop[.]')",
        "matches(request.host, 'exam')",
        "has(request.useragent) && !has(request.referer)",
        "!has(request.referer) || !request.referer.startsWith('Amazon')",
        "request.headers['User-Agent'].startsWith('curl')",
        "request.headers['x-a'] == ''",
        "'x-a' in request.headers && !('x-b' in request.headers)",
        "has(request.headers.referer) ? false : true",
        "response.code in [403, 404]",
        "request.duration > duration('15ms') && request.duration < duration('1s')",
        "string(destination.port) == '443'",
        "size(request.method) == 3 && request.method.size() == 3",
        "response.code / 100 == 4",
        "connection.requested_server_name == 'a' || response.code == 404",
        "request.headers[':method'] == 'GET'",
    ] {
        assert!(holds(source), "{source}");
    }
    for source in [
        "false",
        "response.code >= 500",
        // Absent, of another type, no truth value: an error, and so no line, as in Envoy.
        "request.referer.startsWith('a')",
        "request.headers['x-b'] == 'a'",
        "request.method == 3",
        "request.method > 3",
        "response.code",
        "1 / request.size == 0",
        "connection.mtls && request.referer == ''",
    ] {
        assert!(!holds(source), "{source}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let refused = |source: &str| Expression::new(source).expect_err(source);
    for (source, name) in [
        ("response.cod == 1", "response.cod"),
        ("requests", "requests"),
        ("request", "request"),
        ("request.headers", "request.headers"),
        ("request.headers['a b'] == ''", "request.headers[\"a b\"]"),
        ("xds.node.id == 'a'", "xds.node.id"),
        ("metadata.a == 1", "metadata.a"),
        ("has(request.nothing)", "request.nothing"),
    ] {
        assert_eq!(refused(source), ExpressionError::Attribute(name.to_owned()), "{source}");
    }
    for source in [
        "[1, 2].all(x, x > 0)",
        "request.headers.exists(x, x == 'a')",
        "request.headers[request.method] == 'a'",
        "request.method.matches(request.host)",
        "{'a': 1}['a'] == 1",
        "request.method.reverse()",
        "timestamp('2024-01-01T00:00:00Z') == timestamp('2024-01-01T00:00:00Z')",
    ] {
        assert!(matches!(refused(source), ExpressionError::Unsupported(_)), "{source}: {:?}", refused(source));
    }
    for source in ["", "response.code >=", "request.host.matches('(')", "'a", "a b"] {
        assert!(matches!(refused(source), ExpressionError::Syntax(_)), "{source}: {:?}", refused(source));
    }
}

#[test]
fn the_cost_is_bounded() {
    let long = |count: usize| vec!["response.code == 1"; count].join(" || ");
    assert!(Expression::new(&long(60)).is_ok());
    assert_eq!(Expression::new(&long(70)), Err(ExpressionError::TooLong));
    assert_eq!(Expression::new(&" ".repeat(LONGEST_EXPRESSION + 1)), Err(ExpressionError::TooLong));
    let deep = format!("{}true{}", "(".repeat(1000), ")".repeat(1000));
    assert!(matches!(Expression::new(&deep), Err(ExpressionError::Syntax(_))));
    let deep = format!("{}true", "!".repeat(1000));
    assert!(Expression::new(&deep).is_err() || holds(&deep));
    let huge = "request.host.matches('(a{1000}){1000}')";
    assert!(matches!(Expression::new(huge), Err(ExpressionError::Syntax(_))));
}

#[test]
fn one_that_is_not_known_is_kept_and_true() {
    let sent = serde_json::to_string("response.new_thing == 1").unwrap();
    let expression: Expression = serde_json::from_str(&sent).unwrap();
    assert!(expression.holds(&[]) && expression.attributes().is_empty());
    assert_eq!(serde_json::to_string(&expression).unwrap(), sent);
    assert_ne!(expression, Expression::new("true").unwrap());
    assert!(format!("{expression:?}").contains("new_thing"));
}
