//! The REST doors over a school in memory, and what every door shares: origins, health, files.

use super::*;

fn letter() -> Value {
    json!({ "profile": p(1), "subject": "Tur", "text": "Husk madpakke", "recipients": [{ "group": g(1) }] })
}

fn threads_of(who: u32) -> String {
    format!("GET /v1/profiles/{}/threads", p(who))
}

#[test]
fn what_a_teacher_posts_a_guardian_gets() {
    run_local(async {
        let bench = Bench::new().await;
        let posted = bench.person(1, "POST /v1/threads", Some(letter())).await;
        assert_eq!(posted.status, StatusCode::OK, "{:?}", posted.body);
        let list = bench.person(41, &threads_of(41), None).await;
        assert_eq!(list.status, StatusCode::OK);
        assert_eq!(list.header("cache-control"), "private, no-cache");
        assert_eq!(list.json()["threads"].as_array().map(Vec::len), Some(1));
        let other = bench.person(92, &threads_of(92), None).await;
        assert_eq!(other.json()["threads"], json!([]), "another class");
        let foreign = bench.person(92, &threads_of(41), None).await;
        assert_eq!(
            foreign.problem(),
            (403, "error.profile_not_yours".to_owned())
        );
    });
}

#[test]
fn lists_go_on_by_link() {
    run_local(async {
        let bench = Bench::new().await;
        for _ in 0..3 {
            bench.person(1, "POST /v1/threads", Some(letter())).await;
        }
        let mut line = format!("{}?limit=2", threads_of(41));
        let first = bench.person(41, &line, None).await;
        assert_eq!(first.json()["threads"].as_array().map(Vec::len), Some(2));
        let link = first.header("link");
        let next = link
            .strip_prefix('<')
            .and_then(|it| it.strip_suffix(">; rel=\"next\""));
        line = format!("GET {}", next.expect("a link to the next page"));
        let second = bench.person(41, &line, None).await;
        assert_eq!(second.json()["threads"].as_array().map(Vec::len), Some(1));
        assert_eq!(second.header("link"), "", "the end");
    });
}

#[test]
fn a_key_does_it_once_and_says_so() {
    run_local(async {
        let bench = Bench::new().await;
        let headers = [
            ("authorization", "Bearer s1"),
            ("idempotency-key", "\"k-1\""),
        ];
        let post = |body| bench.ask("POST /v1/threads", &headers, Some(body));
        let first = post(letter()).await;
        let again = post(letter()).await;
        assert_eq!(first.header("idempotency-replayed"), "");
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(first.body, again.body);
        let mut other = letter();
        other["text"] = json!("Noget andet");
        let conflict = post(other).await;
        assert_eq!(
            conflict.problem(),
            (409, "error.idempotency_conflict".to_owned())
        );
        let list = bench.person(41, &threads_of(41), None).await;
        assert_eq!(list.json()["threads"].as_array().map(Vec::len), Some(1));
    });
}

#[test]
fn a_tag_saves_the_body_and_guards_a_change() {
    run_local(async {
        let bench = Bench::new().await;
        let posted = bench
            .person(1, "POST /v1/threads", Some(letter()))
            .await
            .json();
        let thread = posted["thread"]["id"].as_str().expect("an id").to_owned();
        let line = format!("GET /v1/threads/{thread}?profile={}", p(1));
        let shown = bench.person(1, &line, None).await;
        let tag = shown.header("etag").to_owned();
        let s1 = ("authorization", "Bearer s1+");
        let held = bench.ask(&line, &[s1, ("if-none-match", &tag)], None).await;
        assert_eq!(
            (held.status, held.body.len()),
            (StatusCode::NOT_MODIFIED, 0)
        );
        let version = shown.json()["thread"]["version"]
            .as_u64()
            .expect("a version");
        let line = format!("PUT /v1/threads/{thread}/sensitivity");
        let body = json!({ "profile": p(1), "sensitive": true });
        let stale = format!("\"{}\"", version + 1);
        let refused = bench
            .ask(&line, &[s1, ("if-match", &stale)], Some(body.clone()))
            .await;
        assert_eq!(refused.problem(), (412, "error.version_changed".to_owned()));
        let done = bench
            .ask(&line, &[s1, ("if-match", &tag)], Some(body))
            .await;
        assert_eq!(done.status, StatusCode::OK, "{:?}", done.body);
    });
}

#[test]
fn everything_wrong_is_a_problem_with_its_own_key() {
    run_local(async {
        let bench = Bench::new().await;
        let s1 = ("authorization", "Bearer s1");
        let list = threads_of(1);
        let huge = json!({ "text": "x".repeat(70_000) });
        type Row<'r> = (
            &'r str,
            Vec<(&'r str, &'r str)>,
            Option<Value>,
            u16,
            &'r str,
        );
        let table: Vec<Row<'_>> = vec![
            (&list, vec![], None, 401, "error.not_signed_in"),
            (
                &list,
                vec![("authorization", "Basic x")],
                None,
                401,
                "error.not_signed_in",
            ),
            (
                &list,
                vec![("authorization", "Bearer expired")],
                None,
                401,
                "error.token_refused",
            ),
            (
                &list,
                vec![("authorization", "Bearer forged")],
                None,
                401,
                "error.token_refused",
            ),
            (
                &list,
                vec![("authorization", "Bearer a/b")],
                None,
                401,
                "error.token_refused",
            ),
            (
                &list,
                vec![("authorization", "Bearer unavailable")],
                None,
                503,
                "error.unavailable",
            ),
            (
                &list,
                vec![s1, ("accept", "text/html")],
                None,
                406,
                "error.not_acceptable",
            ),
            (
                "GET /v1/profiles/x/threads",
                vec![s1],
                None,
                400,
                "error.invalid_input",
            ),
            ("GET /v1/nothing", vec![s1], None, 404, "error.no_such_path"),
            (
                "TRACE /v1/threads",
                vec![s1],
                None,
                405,
                "error.method_not_allowed",
            ),
            (
                "POST /health",
                vec![],
                None,
                405,
                "error.method_not_allowed",
            ),
            (
                "POST /v1/threads",
                vec![s1],
                None,
                400,
                "error.invalid_input",
            ),
            (
                "POST /v1/threads",
                vec![s1],
                Some(json!([])),
                400,
                "error.invalid_input",
            ),
            (
                "POST /v1/threads",
                vec![s1],
                Some(json!({"x": 1})),
                400,
                "error.invalid_input",
            ),
            (
                "POST /v1/threads?a=b",
                vec![s1],
                Some(letter()),
                400,
                "error.invalid_input",
            ),
            (
                "POST /v1/threads",
                vec![s1],
                Some(huge),
                413,
                "error.body_too_large",
            ),
            (
                "POST /v1/threads",
                vec![s1, ("content-type", "text/plain")],
                Some(letter()),
                415,
                "error.unsupported_media_type",
            ),
            (
                "POST /v1/threads",
                vec![s1, ("idempotency-key", "a b")],
                Some(letter()),
                400,
                "error.bad_header",
            ),
            (
                "POST /v1/threads",
                vec![s1, ("if-match", "seven")],
                Some(letter()),
                400,
                "error.bad_header",
            ),
        ];
        for (line, headers, body, status, key) in table {
            let answer = bench.ask(line, &headers, body).await;
            assert_eq!(
                answer.problem(),
                (status, key.to_owned()),
                "{line} {headers:?}"
            );
            let challenged = answer.header("www-authenticate").starts_with("Bearer ");
            assert_eq!(challenged, status == 401, "{line}");
        }
        for query in [
            "limit=abc",
            "limit=0",
            "limit=1&limit=2",
            "unread=maybe",
            "colour=red",
        ] {
            let answer = bench.person(1, &format!("{list}?{query}"), None).await;
            assert_eq!(
                answer.problem(),
                (400, "error.invalid_input".to_owned()),
                "{query}"
            );
        }
    });
}

#[test]
fn a_wrong_method_names_the_right_ones() {
    run_local(async {
        let bench = Bench::new().await;
        let line = threads_of(1).replace("GET", "DELETE");
        let answer = bench.person(1, &line, None).await;
        assert_eq!(answer.problem().0, 405);
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
        let options = bench
            .ask(&threads_of(1).replace("GET", "OPTIONS"), &[], None)
            .await;
        assert_eq!(options.status, StatusCode::NO_CONTENT);
        assert_eq!(options.header("allow"), "GET, HEAD, OPTIONS");
    });
}

#[test]
fn nothing_that_was_sent_comes_back_in_a_problem() {
    run_local(async {
        let bench = Bench::new().await;
        let secret = "Emil-er-syg";
        let bodies = [
            json!({ "profile": secret }),
            json!({ "profile": p(1), "text": [secret] }),
            json!({ secret: 1 }),
        ];
        for body in bodies {
            let answer = bench.person(1, "POST /v1/threads", Some(body)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert!(!String::from_utf8_lossy(&answer.body).contains(secret));
        }
    });
}

#[test]
fn only_allowed_pages_are_let_in() {
    run_local(async {
        let bench = Bench::new().await;
        let preflight = |origin| {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
            ];
            async move { headers }
        };
        let good = preflight("https://good.example").await;
        let answer = bench.ask("OPTIONS /v1/threads", &good, None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "https://good.example"
        );
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("idempotency-key")
        );
        let bad = preflight("https://bad.example").await;
        let answer = bench.ask("OPTIONS /v1/threads", &bad, None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("vary"), "origin");
    });
}

#[test]
fn health_tells_what_is_missing() {
    run_local(async {
        let bench = Bench::new().await;
        let check = |serving| {
            let reason = "the key set cannot be fetched".to_owned();
            let part = "keys";
            *bench.node.ailments.lock().expect("no panic") = vec![Ailment {
                part,
                reason,
                serving,
            }];
        };
        let ok = bench.ask("GET /health", &[], None).await;
        assert_eq!(
            (ok.status, &ok.json()["status"]),
            (StatusCode::OK, &json!("ok"))
        );
        check(true);
        let degraded = bench.ask("GET /health", &[], None).await;
        assert_eq!(degraded.status, StatusCode::OK);
        assert_eq!(degraded.json()["status"], "degraded");
        assert_eq!(degraded.json()["reasons"][0]["part"], "keys");
        check(false);
        let failing = bench.ask("GET /health", &[], None).await;
        assert_eq!(failing.status, StatusCode::SERVICE_UNAVAILABLE);
    });
}

#[test]
fn requests_are_counted_by_route() {
    run_local(async {
        let bench = Bench::new().await;
        bench.person(41, &threads_of(41), None).await;
        let text = bench.ask("GET /metrics", &[], None).await;
        let text = String::from_utf8_lossy(&text.body).into_owned();
        let line = "centrifugo_node_incoming_http_requests_total{path=\"/v1/profiles/{profile}/threads\",method=\"GET\",status=\"200\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("G10001"), "no id in a label");
    });
}

#[test]
fn a_problems_type_leads_to_its_description() {
    run_local(async {
        let bench = Bench::new().await;
        let answer = bench.ask("GET /v1/nothing", &[], None).await;
        let kind = answer.json()["type"].as_str().expect("a type").to_owned();
        let described = bench.ask(&format!("GET {kind}"), &[], None).await;
        assert_eq!(described.status, StatusCode::OK);
        assert!(String::from_utf8_lossy(&described.body).contains("no_such_path"));
        let unknown = bench.ask("GET /problems/none", &[], None).await;
        assert_eq!(unknown.problem().0, 404);
    });
}

#[test]
fn files_are_served_from_their_folder_and_no_other() {
    run_local(async {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("dist");
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(folder.join("index.html"), "<p>hej").expect("written");
        std::fs::write(outer.path().join("secret"), "no").expect("written");
        let api = Access::with_keys([], Duration::from_secs(1));
        let bench = Bench::with(api, Some(folder)).await;
        let page = bench.ask("GET /", &[], None).await;
        assert_eq!(
            (page.status, &page.body[..]),
            (StatusCode::OK, &b"<p>hej"[..])
        );
        assert_eq!(page.header("cache-control"), "no-cache");
        for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "//secret"] {
            let answer = bench.ask(&format!("GET {path}"), &[], None).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        }
        let closed = bench.ask("POST /api/info", &[], Some(json!({}))).await;
        assert_eq!(closed.status, StatusCode::UNAUTHORIZED, "routes come first");
    });
}
