use super::*;

#[test]
fn what_is_printed_is_what_is_read_and_every_key_is_explained() {
    let text = File::default().to_text().unwrap();
    assert_eq!(File::parse(&text), Ok(File::default()));
    assert_eq!(File::parse(""), Ok(File::default()));
    let table = toml::Table::try_from(File::default()).unwrap();
    let explained: usize = ABOUT.iter().map(|(_, keys)| keys.len()).sum();
    // The one table in another is no key of that.
    let upload = table["recording"]["upload"].as_table().unwrap().len() - 1;
    let keys = table.values().map(|table| table.as_table().unwrap().len()).sum::<usize>() + upload;
    assert_eq!((text.matches(" = ").count(), explained, table.len() + 1), (keys, keys, ABOUT.len()), "{text}");
}

#[test]
fn a_key_that_is_given_counts_and_the_others_have_their_defaults() {
    let text = "[black_box]\nfine_interval = \"2s\"\n\n[dossiers]\nmax_bytes = \"1GiB\"\ntriggers = [\"oom\"]\n";
    let file = File::parse(text).unwrap();
    assert_eq!(file.black_box, BlackBox { fine_interval: Duration::from_secs(2), ..BlackBox::default() });
    assert_eq!((file.dossiers.max_bytes, file.dossiers.triggers.as_slice()), (1 << 30, &[Trigger::Oom][..]));
    assert_eq!(file.black_box.pace(None).round_ns, 2_000_000_000);
    assert_eq!(File::parse(&file.to_text().unwrap()), Ok(file));
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_its_number() {
    for (text, why) in [
        (
            "[black_box]\nfine_intervall = \"1s\"",
            "line 2: unknown field `fine_intervall`, expected one of `fine_interval`",
        ),
        ("\n[blackbox]\n", "line 2: unknown field `blackbox`"),
        ("[black_box]\n\nspill_interval = 10", "line 3: invalid type: integer `10`"),
        ("[black_box]\nspill_interval = \"soon\"", "line 2: \"soon\" is not a duration"),
        ("[black_box]\nspill_interval = \"9y\"", "line 2: must be from 10ms to 1y"),
        ("[black_box]\nburst_headroom_percent = 101", "line 2: 101 is more than 100 percent"),
        ("[black_box]\nburst_headroom_percent = -1", "line 2: invalid value"),
        ("[black_box]\nmax_bytes_per_process = \"4x\"", "line 2: unknown unit in \"4x\""),
        ("[black_box]\n  fine_span=\"3h\"", "line 2: fine_span: 3h is longer than coarse_span, 2h"),
        ("[black_box]\nmax_processes = 0", "line 2: max_processes: must be from 1 to 65536"),
        ("[dossiers]\ntriggers = [\"whim\"]", "line 2: \"whim\" is no trigger: oom, "),
        ("[dossiers]\ndirectory = \"a\"\ndirectory = \"b\"", "line 3: duplicate key"),
        ("[http]\nport = 1", "line 2: unknown field `port`, expected one of `listen`"),
        ("[http]\nlisten = \"localhost\"", "line 2: invalid socket address"),
        ("[http]\n\nmax_connections = 0", "line 3: max_connections: must be from 1 to 1024"),
        ("[http]\nmax_series_processes = 0", "line 2: max_series_processes: must be from 1 to 65536"),
        ("[http]\nrequest_timeout = \"1h\"", "line 2: request_timeout: must be from 10ms to 5m"),
        (
            "[dossiers]\nmax_bytes = \"1GiB\"\n[recording]\nmax_bytes = \"1KiB\"",
            "line 4: recording.max_bytes: must be at least 64KiB",
        ),
        ("[recording]\nnode = \"a/b\"", "line 2: recording.node: \"a/b\" must be letters, digits"),
        ("[recording]\nwhere = \"/\"", "line 2: unknown field `where`, expected one of `enabled`"),
        ("[otlp]\nendpoint = \"collector:4317\"", "line 2: otlp.endpoint: must begin with http:// or https://"),
        ("[otlp]\nprotocol = \"http/json\"", "line 2: unknown variant `http/json`, expected `grpc` or `http/protobuf`"),
        ("[otlp]\ninterval = \"10ms\"", "line 2: interval: must be from 1s to 1h"),
        (
            "[otlp]\nendpoint = \"http://a:1\"\n[recording.upload]\nendpoint = \"http://a:1\"",
            "line 4: recording.upload.endpoint: http:// needs allow_http = true",
        ),
        ("[recording.upload]\n\nurl = \"bucket\"", "line 3: recording.upload.url: must be s3://BUCKET"),
        ("[recording.upload]\nbucket = \"b\"", "line 2: unknown field `bucket`, expected one of `url`, `endpoint`"),
        ("[recording.upload]\ntimeout = \"6m\"", "line 2: recording.upload.timeout: must be from 10ms to 5m"),
        (
            "[recording.upload]\nsecret_access_key_file = \"/k\"",
            "line 2: recording.upload.secret_access_key_file: and access_key_id_file: one without the other",
        ),
        ("[black_box", "line 1: "),
    ] {
        let said = File::parse(text).unwrap_err();
        assert!(said.starts_with(why) && !said.contains('\n'), "{text:?}: {said}");
    }
}

#[test]
fn what_cannot_be_read_is_a_question_of_usage() {
    for path in ["/no/such/file", "/", "/dev/zero"] {
        let Err(Error::Usage(said)) = File::read(Path::new(path)) else { panic!("{path}") };
        assert!(said.starts_with(&format!("{path}: ")) && !said.contains('\n'), "{said}");
    }
}

#[test]
fn an_address_that_others_reach_is_refused_unless_it_is_meant() {
    let says = |text: &str| File::parse(text).unwrap().http.check_address().map_err(|why| why.to_string());
    for loopback in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:9460", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(says(&format!("[http]\nlisten = \"{loopback}\"")), Ok(()));
    }
    for open in ["0.0.0.0:9460", "[::]:9460", "10.0.0.1:1"] {
        let listen = format!("[http]\nlisten = \"{open}\"");
        let said = says(&listen).unwrap_err();
        assert!(said.starts_with(&format!("{open} is no loopback address")) && !said.contains('\n'), "{said}");
        assert_eq!(says(&format!("{listen}\nallow_any_address = true")), Ok(()));
    }
}
