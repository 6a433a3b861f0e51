use super::store::failure;
use super::*;
use std::fs;

fn refused(upload: Upload) -> String {
    let said = Uploader::new(&upload).unwrap_err().to_string();
    assert!(said.starts_with("[recording.upload] ") && !said.contains('\n'), "{said}");
    said
}

/// Asks nobody, and trusts nobody.
fn plain() -> Upload {
    Upload {
        url: "s3://b/fleet/".to_owned(),
        endpoint: "http://127.0.0.1:1/".to_owned(),
        allow_http: true,
        ..Upload::default()
    }
}

#[test]
fn a_key_is_the_path_below_the_directory() {
    let file = Path::new("date=2026-11-27/node=n1/part-0000000000000001-1.parquet");
    for (url, key) in [
        ("s3://b", "date=2026-11-27/node=n1/part-0000000000000001-1.parquet"),
        ("s3://b/fleet/a=b/", "fleet/a=b/date=2026-11-27/node=n1/part-0000000000000001-1.parquet"),
    ] {
        let uploader = Uploader::new(&Upload { url: url.to_owned(), ..plain() }).unwrap();
        assert_eq!(uploader.bucket.key(file).as_ref(), key);
    }
    assert_eq!(Uploader::new(&plain()).unwrap().place, "s3://b/fleet at http://127.0.0.1:1");
}

#[test]
fn files_that_are_of_no_use_are_refused_with_their_name() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = home.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let (id, secret) = (file("id", "AKIA\n"), file("secret", "s3cr/t+\n"));
    let with = |id: &Path, secret: &Path| Upload {
        access_key_id_file: id.to_owned(),
        secret_access_key_file: secret.to_owned(),
        ..plain()
    };
    assert!(Uploader::new(&with(&id, &secret)).is_ok());
    let said = refused(with(&id, Path::new("/none")));
    assert!(said.contains("secret_access_key_file /none: No such file"), "{said}");
    for wrong in ["", "\n", "two words", "l1\nl2"] {
        let said = refused(with(&file("wrong", wrong), &secret));
        assert!(said.ends_with("wrong: must hold a key, and nothing else"), "{said}");
    }
    let encrypted =
        |ca_file: &Path| Upload { endpoint: "https://a:1".to_owned(), ca_file: ca_file.to_owned(), ..plain() };
    let said = refused(encrypted(Path::new("/none")));
    assert!(said.contains("ca_file /none: "), "{said}");
    let said = refused(encrypted(&id));
    assert!(said.ends_with("there are no certificates in it"), "{said}");
}

#[test]
fn an_answer_is_said_as_the_store_calls_it() {
    const XML: &str = "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchBucket</Code><Message>There is\n none</Message><RequestId>1</RequestId></Error>";
    for (status, body, said) in [
        ("404 Not Found", XML, "404 Not Found: NoSuchBucket: There is none"),
        ("503 Service Unavailable", "", "503 Service Unavailable"),
        ("502 Bad Gateway", "<html>\nno</html>", "502 Bad Gateway"),
    ] {
        let source = format!("Server returned non-2xx status code: {status}: {body}").into();
        let failure = failure(&object_store::Error::Generic { store: "S3", source });
        assert_eq!((failure.why.as_str(), failure.is_lasting), (said, false));
    }
    let source = "169.254.169.254:80: nobody answers".into();
    let said = failure(&object_store::Error::Generic { store: "S3", source }).why;
    assert_eq!(
        said,
        "169.254.169.254:80: nobody answers (asked for keys, since there are none in files or in the environment)"
    );
    let source = "no".into();
    assert!(failure(&object_store::Error::PermissionDenied { path: String::new(), source }).is_lasting);
}
