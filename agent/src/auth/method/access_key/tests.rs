use super::*;

const NAMES: [&str; 3] = ["ID", "SECRET", "TOKEN"];

#[test]
fn variables_come_in_pairs() {
    let read = |variables: &[_]| AccessKey::variables(&Environment::of(variables), NAMES);
    assert!(read(&[]).unwrap().is_none());
    assert!(read(&[("ID", " "), ("SECRET", "")]).unwrap().is_none());
    assert!(read(&[("TOKEN", "t")]).unwrap().is_none());
    let key = read(&[("ID", "AKID\n"), ("SECRET", " s \n")])
        .unwrap()
        .unwrap();
    assert_eq!((key.id.as_str(), key.secret.as_str()), ("AKID", "s"));
    assert!(key.token.is_none());
    let key = read(&[("ID", "AKID"), ("SECRET", "s"), ("TOKEN", "t\n")])
        .unwrap()
        .unwrap();
    assert_eq!(key.token.unwrap().as_str(), "t");
    for (one, other) in [("ID", "SECRET"), ("SECRET", "ID")] {
        assert_eq!(
            read(&[(one, "x")]).unwrap_err().to_string(),
            format!("{one} is set and {other} is not; set both or neither")
        );
    }
}

#[test]
fn a_key_in_an_answer_is_whole_or_none() {
    let read = |answer: Value| AccessKey::answered(&answer, ["SecretAccessKey", "Token"]);
    let key = read(serde_json::json!({
        "Code": "Success", "AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t",
        "Expiration": "2026-01-02T03:04:05Z",
    }))
    .unwrap();
    assert_eq!((key.id.as_str(), key.secret.as_str()), ("ASIA", "s"));
    assert_eq!(key.until, Some(Moment(1_767_323_045)));
    for answer in [
        serde_json::json!(null),
        serde_json::json!([]),
        serde_json::json!({"Code": "Failed", "Message": "no"}),
        serde_json::json!({"AccessKeyId": "ASIA"}),
        serde_json::json!({"AccessKeyId": "ASIA", "SecretAccessKey": 7}),
        serde_json::json!({"AccessKeyId": "", "SecretAccessKey": "s"}),
    ] {
        assert!(read(answer.clone()).is_none(), "{answer}");
    }
}

#[test]
fn a_key_is_used_again_until_five_minutes_before_its_end() {
    let mut key = AccessKey::new("AKID", "s", None);
    assert!(!key.lasts(Moment(0)), "who knows");
    key.until = Some(Moment(1_000));
    assert!(key.lasts(Moment(699)));
    assert!(!key.lasts(Moment(700)));
    assert!(!key.lasts(Moment(2_000)));
}

#[test]
fn debug_shows_the_id_only() {
    let key = AccessKey::new("AKID", "hidden-secret", Some("hidden-token"));
    assert_eq!(format!("{key:?}"), "AccessKey(AKID)");
}

#[test]
fn an_address_is_one_of_http() {
    let read = |base| address("NAME", base, "/path").map(|uri| uri.to_string());
    assert_eq!(read("http://h:1").unwrap(), "http://h:1/path");
    assert_eq!(read("https://h/base/").unwrap(), "https://h/base/path");
    for wrong in ["", "h", "/h", "ftp://h", "http://", "http://a b"] {
        let error = read(wrong).unwrap_err().to_string();
        assert_eq!(
            error, "NAME is no address; write one as in http://host:port",
            "{wrong}"
        );
    }
}
