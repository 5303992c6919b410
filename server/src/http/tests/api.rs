//! The server API over a node that writes down what it was asked.

use super::*;

#[test]
fn the_server_api_answers_as_its_back_ends_expect() {
    run_local(async {
        let bench = Bench::new().await;
        let position = json!({ "offset": 7, "epoch": "e" });
        let table = [
            (
                "publish",
                json!({"channel": "chat:a", "data": {"a": 1.0}}),
                json!({"result": position}),
            ),
            (
                "publish",
                json!({"channel": "chat:a", "b64data": "aGVq", "skip_history": true}),
                json!({"result": {}}),
            ),
            (
                "broadcast",
                json!({"channels": ["chat:a", "nope:b"], "data": 1}),
                json!({"result": {"responses": [{"result": position},
                    {"error": {"code": 102, "message": "unknown channel"}}]}}),
            ),
            (
                "presence",
                json!({"channel": "chat:a"}),
                json!({"result": {"presence": {"c1": {"user": "u", "client": "c1"}}}}),
            ),
            (
                "presence_stats",
                json!({"channel": "chat:a"}),
                json!({"error": {"code": 108, "message": "not available"}}),
            ),
            (
                "history",
                json!({"channel": "chat:a", "limit": 10}),
                json!({"result": {
                "publications": [{"data": {"a": 1.0}, "offset": 1}, {"b64data": "/wA=", "offset": 2}],
                "epoch": "e", "offset": 2}}),
            ),
            (
                "subscribe",
                json!({"user": "u", "channel": "chat:a", "expire_at": 5,
                "override": {"presence": {"value": true}}}),
                json!({"result": {}}),
            ),
            (
                "unsubscribe",
                json!({"user": "u", "channel": ""}),
                json!({"result": {}}),
            ),
            (
                "disconnect",
                json!({"user": "u", "whitelist": ["c"]}),
                json!({"result": {}}),
            ),
            (
                "refresh",
                json!({"user": "u", "expire_at": 9}),
                json!({"result": {}}),
            ),
            (
                "refresh",
                json!({"user": "u", "expired": true}),
                json!({"result": {}}),
            ),
            (
                "history_remove",
                json!({"channel": "chat:a"}),
                json!({"result": {}}),
            ),
            (
                "connections",
                json!({"user": "u"}),
                json!({"result": {"connections": {"c1": {
                "user": "u", "transport": "websocket", "protocol": "json",
                "channels": ["news"]}}}}),
            ),
            (
                "rpc",
                json!({"method": "no.such"}),
                json!({"error": {"code": 104, "message": "method not found"}}),
            ),
        ];
        for (method, params, expected) in table {
            assert_eq!(
                bench.api(method, params.clone()).await,
                expected,
                "{method} {params}"
            );
        }
        assert_eq!(
            bench.node.asked(),
            [
                "publish chat:a {\"a\":1.0}",
                "publish chat:a hej",
                "publish chat:a 1",
                "history chat:a Some(10) false",
                "subscribe u chat:a Some(5000) Some(true)",
                "unsubscribe u None 2000",
                "disconnect u 3503 [\"c\"]",
                "refresh u Some(9000)",
                "disconnect u 3005 []",
                "history_remove chat:a",
            ]
        );
        let info = bench.api("info", json!({})).await;
        let node = &info["result"]["nodes"][0];
        assert_eq!(node["uid"], "n1");
        assert_eq!(node["process"], json!({"cpu": 0.0, "rss": 0}));
        assert_eq!(node["metrics"], json!({"interval": 0.0, "items": {}}));
    });
}

#[test]
fn what_makes_no_sense_is_error_107() {
    run_local(async {
        let bench = Bench::new().await;
        let table = [
            ("publish", json!({"channel": "chat:a"})),
            ("publish", json!({"channel": "", "data": 1})),
            ("publish", json!({"channel": "x".repeat(256), "data": 1})),
            ("publish", json!({"channel": "chat:a", "b64data": "?"})),
            ("publish", json!({"channel": 5, "data": 1})),
            ("broadcast", json!({"channels": [], "data": 1})),
            ("subscribe", json!({"channel": "chat:a"})),
            ("disconnect", json!({})),
            (
                "disconnect",
                json!({"user": "u", "disconnect": {"code": 1000}}),
            ),
        ];
        for (method, params) in table {
            let answer = bench.api(method, params.clone()).await;
            assert_eq!(answer["error"]["code"], 107, "{method} {params}: {answer}");
        }
        assert!(bench.node.asked().is_empty(), "nothing was done");
    });
}

#[test]
fn channels_are_found_by_pattern_and_paged() {
    run_local(async {
        let bench = Bench::new().await;
        let first = bench
            .api("channels", json!({"pattern": "chat:*", "limit": 2}))
            .await;
        let page = &first["result"];
        assert_eq!(
            page["channels"],
            json!({"chat:a": {"num_clients": 2}, "chat:b": {"num_clients": 2}})
        );
        let rest = json!({"pattern": "chat:*", "limit": 2, "cursor": page["cursor"]});
        let rest = bench.api("channels", rest).await;
        assert_eq!(
            rest["result"],
            json!({"channels": {"chat:c": {"num_clients": 2}}})
        );
    });
}

#[test]
fn a_repeated_or_late_publication_is_suppressed() {
    run_local(async {
        let bench = Bench::new().await;
        let keyed = json!({"channel": "chat:a", "data": 1, "idempotency_key": "k"});
        let first = bench.api("publish", keyed.clone()).await;
        assert_eq!(bench.api("publish", keyed).await, first);
        for version in [2, 1, 2, 3] {
            let versioned = json!({"channel": "chat:v", "data": version, "version": version});
            bench.api("publish", versioned).await;
        }
        let asked = bench.node.asked();
        assert_eq!(
            asked,
            ["publish chat:a 1", "publish chat:v 2", "publish chat:v 3"]
        );
    });
}

#[test]
fn a_key_with_another_payload_is_a_conflict() {
    run_local(async {
        let bench = Bench::new().await;
        let keyed = |data| json!({"channel": "chat:a", "data": data, "idempotency_key": "k"});
        bench.api("publish", keyed(1)).await;
        let answer = bench.api("publish", keyed(2)).await;
        assert_eq!(
            answer["error"],
            json!({"code": 409, "message": "error.idempotency_conflict"})
        );
        assert_eq!(bench.node.asked(), ["publish chat:a 1"]);
        let headers = [
            ("x-api-key", "key"),
            ("x-centrifugo-error-mode", "transport"),
        ];
        let answer = bench
            .ask("POST /api/publish", &headers, Some(keyed(2)))
            .await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
    });
}

#[test]
fn a_back_end_calls_operations_for_a_login() {
    run_local(async {
        let bench = Bench::new().await;
        let start = |more: Value| {
            let mut call = json!({"method": "session.start", "params": {}});
            let fields = more.as_object().expect("an object").clone();
            call.as_object_mut().expect("an object").extend(fields);
            call
        };
        let answer = bench.api("rpc", start(json!({"user": "s1"}))).await;
        let by_rest = bench.person(1, "GET /v1/session", None).await.json();
        assert_eq!(answer["result"]["data"], by_rest, "{answer}");
        let nobody = bench.api("rpc", start(json!({}))).await;
        assert_eq!(nobody["error"]["code"], 401, "{nobody}");
        let wrong = bench.api("rpc", start(json!({"user": "a/b"}))).await;
        assert_eq!(wrong["error"]["code"], 107, "{wrong}");
    });
}

#[test]
fn a_batch_answers_in_order_without_wrapper() {
    run_local(async {
        let bench = Bench::new().await;
        for parallel in [false, true] {
            let batch = json!({ "parallel": parallel, "commands": [
                {"publish": {"channel": "chat:a", "data": 1}},
                {"publish": {"channel": "nope:a", "data": 1}},
                {"batch": {"commands": []}},
            ]});
            let answer = bench.api("batch", batch).await;
            assert_eq!(
                answer["replies"][0],
                json!({"publish": {"offset": 7, "epoch": "e"}})
            );
            assert_eq!(answer["replies"][1]["error"]["code"], 102);
            assert_eq!(
                answer["replies"][2]["error"]["code"], 107,
                "no batch in a batch"
            );
        }
    });
}

#[test]
fn errors_come_by_status_when_asked() {
    run_local(async {
        let bench = Bench::new().await;
        let headers = [
            ("x-api-key", "key"),
            ("x-centrifugo-error-mode", "transport"),
        ];
        let body = json!({"channel": "nope:a", "data": 1});
        let answer = bench.ask("POST /api/publish", &headers, Some(body)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(
            answer.json(),
            json!({"code": 102, "message": "unknown channel"})
        );
    });
}

#[test]
fn what_is_no_call_is_told_by_status() {
    run_local(async {
        let bench = Bench::new().await;
        let key = [("x-api-key", "key")];
        let check = |answer: Answer| answer.status.as_u16();
        assert_eq!(
            check(bench.ask("POST /api/info", &[], Some(json!({}))).await),
            401
        );
        assert_eq!(check(bench.ask("GET /api/info", &key, None).await), 405);
        assert_eq!(
            check(bench.ask("POST /api/none", &key, Some(json!({}))).await),
            404
        );
        let bad = bench.ask("POST /api/info", &key, Some(json!([]))).await;
        assert_eq!(
            (bad.status.as_u16(), &bad.body[..]),
            (400, &b"Bad Request"[..])
        );
    });
}

#[test]
fn older_clients_send_commands_by_line() {
    run_local(async {
        let bench = Bench::new().await;
        let lines = "{\"method\":\"publish\",\"params\":{\"channel\":\"chat:a\",\"data\":1}}\n{\"method\":\"none\"}";
        let request = Request::post("/api").header("authorization", "apikey key");
        let request = request.body(Body::from(lines)).expect("a sound request");
        let answer = bench.send(request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let replies: Vec<&str> = text.lines().collect();
        assert_eq!(replies.len(), 2);
        assert_eq!(replies[0], "{\"result\":{\"offset\":7,\"epoch\":\"e\"}}");
        assert!(replies[1].contains("104"), "{}", replies[1]);
    });
}

#[test]
fn a_node_is_drained_by_who_has_a_key_and_health_says_how_far_it_is() {
    run_local(async {
        let bench = Bench::new().await;
        let line = "POST /api/drain";
        let stranger = bench.ask(line, &[], Some(json!({}))).await;
        assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
        let health = bench.ask("GET /health", &[], None).await.json();
        assert_eq!(health["drain"], Value::Null);
        let begun = bench.api("drain", json!({})).await;
        assert_eq!(begun, json!({"result": {"connections": 7}}));
        let health = bench.ask("GET /health", &[], None).await.json();
        assert_eq!(health["drain"], json!({"connections": 7}));
    });
}
