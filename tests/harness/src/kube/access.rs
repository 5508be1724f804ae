//! What a request asks for, in the words in which RBAC grants it. Pure.

use http::Method;

/// One right that a request makes use of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    pub verb: &'static str,
    /// Empty for the core group.
    pub group: String,
    pub resource: String,
    /// Where the request is about one namespace.
    pub namespace: Option<String>,
    /// Where the request is about one object, in its path or by a field selector, as RBAC sees it.
    pub name: Option<String>,
}

/// Reads a request's method, path and query; nothing for what is no resource.
pub(super) fn read(method: &Method, target: &str) -> Option<Access> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, _version, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, resource, name) = match rest {
        ["namespaces", namespace, resource] => (Some(*namespace), *resource, None),
        ["namespaces", namespace, resource, name] => (Some(*namespace), *resource, Some(*name)),
        [resource] => (None, *resource, None),
        [resource, name] => (None, *resource, Some(*name)),
        _ => return None,
    };
    let selected = parameter(query, "fieldSelector");
    let selected = selected.and_then(|selector| {
        let name = selector.strip_prefix("metadata.name=")?;
        (!name.contains(',')).then(|| name.to_owned())
    });
    let is_watch = matches!(parameter(query, "watch").as_deref(), Some("1" | "true"));
    let verb = match (method, name) {
        (&Method::GET, Some(_)) => "get",
        (&Method::GET, None) if is_watch => "watch",
        (&Method::GET, None) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, _) => "delete",
        _ => return None,
    };
    Some(Access {
        verb,
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned).or(selected),
    })
}

/// A parameter of a query, decoded.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, target: &str, expected: &str) {
        let access = read(method, target).map(|access| {
            format!(
                "{} {}/{} in {:?} {:?}",
                access.verb,
                access.group,
                access.resource,
                access.namespace.as_deref().unwrap_or("*"),
                access.name.as_deref().unwrap_or("*"),
            )
        });
        assert_eq!(access.as_deref(), Some(expected), "{method} {target}");
    }

    #[test]
    fn requests_in_the_words_of_rbac() {
        let webhooks = super::super::WEBHOOKS;
        check(
            &Method::GET,
            "/api/v1/namespaces/a/secrets/b",
            r#"get /secrets in "a" "b""#,
        );
        check(
            &Method::POST,
            "/api/v1/namespaces/a/secrets?fieldManager=x",
            r#"create /secrets in "a" "*""#,
        );
        check(
            &Method::GET,
            "/api/v1/pods?limit=5",
            r#"list /pods in "*" "*""#,
        );
        check(
            &Method::GET,
            &format!("{webhooks}?watch=1&fieldSelector=metadata.name%3Dks&timeoutSeconds=5"),
            r#"watch admissionregistration.k8s.io/mutatingwebhookconfigurations in "*" "ks""#,
        );
        assert_eq!(read(&Method::GET, "/version"), None);
    }
}
