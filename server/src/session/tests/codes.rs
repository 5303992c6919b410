//! Every code of `docs/protocol.md`, section 3, that a session gives out, each with the input that
//! earns it.

use super::*;

/// Sends frames to an open anonymous session, answering nothing, and looks at the last reply.
fn replies(settings: Settings, frame: &str) -> String {
    Bench::open_with(settings).send(frame).said()
}

fn closes(settings: Settings, frame: &str) -> Option<u32> {
    Bench::open_with(settings).send(frame).close_code()
}

fn error(id: u32, code: ErrorCode) -> String {
    let temporary = if code.is_temporary() {
        ",\"temporary\":true"
    } else {
        ""
    };
    let (number, text) = (code.number(), code.text());
    format!("{{\"id\":{id},\"error\":{{\"code\":{number},\"message\":\"{text}\"{temporary}}}}}")
}

#[test]
fn first_commands_that_are_not_connect_are_bad_requests() {
    for frame in [
        "",
        "{}",
        "not json",
        r#"{"id":0,"connect":{}}"#,
        r#"{"id":1,"subscribe":{"channel":"c"}}"#,
        r#"{"id":1,"ping":{}}"#,
        r#"{"id":1}"#,
    ] {
        let mut bench = Bench::new(settings());
        assert_eq!(bench.send(frame).close_code(), Some(3501), "{frame:?}");
        assert_eq!(
            bench.closed.as_ref().map(|it| it.reason.as_str()),
            Some("bad request")
        );
        assert_eq!(
            bench.session.next_deadline(),
            None,
            "nothing is due any more"
        );
    }
}

#[test]
fn later_frames_that_break_the_protocol_are_bad_requests() {
    for frame in [
        "",
        "{}",
        "\u{0}",
        r#"{"id":2,"connect":{}}"#,
        r#"{"id":2,"ping":{}}"#,
        r#"{"id":2}"#,
        r#"{"subscribe":{"channel":"c"}}"#,
        r#"{"id":2,"subscribe":{"channel":""}}"#,
        r#"{"id":2,"subscribe":{"channel":"stream:c","delta":"other"}}"#,
        r#"{"id":2,"unsubscribe":{}}"#,
        r#"{"id":2,"publish":{"data":{}}}"#,
        r#"{"id":2,"presence":{}}"#,
        r#"{"id":2,"presence_stats":{}}"#,
        r#"{"id":2,"history":{}}"#,
        r#"{"id":2,"refresh":{}}"#,
        r#"{"id":2,"sub_refresh":{"token":"t"}}"#,
    ] {
        assert_eq!(closes(settings(), frame), Some(3501), "{frame:?}");
    }
}

#[test]
fn commands_that_are_refused_get_their_documented_error() {
    let long = "x".repeat(256);
    let rows = [
        (
            format!(r#"{{"id":2,"subscribe":{{"channel":"{long}"}}}}"#),
            ErrorCode::BAD_REQUEST,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"nowhere:c"}}"#.to_owned(),
            ErrorCode::UNKNOWN_CHANNEL,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"å"}}"#.to_owned(),
            ErrorCode::BAD_REQUEST,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"c","type":1}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"$c"}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"c#1"}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"closed:c"}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"unit:G1"}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"c","tf":{"op":"and"}}}"#.to_owned(),
            ErrorCode::BAD_REQUEST,
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"stream:c","tf":{"op":"so"}}}"#.to_owned(),
            ErrorCode::BAD_REQUEST,
        ),
        (
            r#"{"id":2,"publish":{"channel":"nowhere:c","data":1}}"#.to_owned(),
            ErrorCode::UNKNOWN_CHANNEL,
        ),
        (
            r#"{"id":2,"publish":{"channel":"closed:c","data":1}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"publish":{"channel":"person:G1/p1","data":1}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"publish":{"channel":"c"}}"#.to_owned(),
            ErrorCode::BAD_REQUEST,
        ),
        (
            r#"{"id":2,"publish":{"channel":"c","data":1,"type":1}}"#.to_owned(),
            ErrorCode::BAD_REQUEST,
        ),
        (
            r#"{"id":2,"presence":{"channel":"c"}}"#.to_owned(),
            ErrorCode::NOT_AVAILABLE,
        ),
        (
            r#"{"id":2,"presence":{"channel":"unit:G1"}}"#.to_owned(),
            ErrorCode::NOT_AVAILABLE,
        ),
        (
            r#"{"id":2,"presence":{"channel":"closed:c"}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"presence_stats":{"channel":"nowhere:c"}}"#.to_owned(),
            ErrorCode::UNKNOWN_CHANNEL,
        ),
        (
            r#"{"id":2,"history":{"channel":"c"}}"#.to_owned(),
            ErrorCode::NOT_AVAILABLE,
        ),
        (
            r#"{"id":2,"history":{"channel":"closed:c"}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"history":{"channel":"group:G1/g1"}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
        (
            r#"{"id":2,"sub_refresh":{"channel":"c","token":"t"}}"#.to_owned(),
            ErrorCode::PERMISSION_DENIED,
        ),
    ];
    for (frame, code) in rows {
        assert_eq!(replies(settings(), &frame), error(2, code), "{frame}");
    }
}

#[test]
fn features_nobody_serves_are_not_available() {
    let without = || Settings {
        rpc: false,
        ..settings()
    };
    assert_eq!(
        replies(without(), r#"{"id":2,"rpc":{"method":"m"}}"#),
        error(2, ErrorCode::NOT_AVAILABLE)
    );
    assert_eq!(closes(without(), r#"{"send":{"data":1}}"#), Some(3508));
    let with = Settings {
        messages: true,
        ..settings()
    };
    let mut bench = Bench::open_with(with);
    bench.send(r#"{"send":{"data":1}}"#);
    assert_eq!(
        (bench.said().as_str(), bench.asked.len()),
        ("", 1),
        "taken, without a reply"
    );
}

#[test]
fn subscribing_twice_and_too_often_is_refused() {
    let limited = Settings {
        channel_limit: 1,
        ..settings()
    };
    let mut bench = Bench::open_with(limited);
    bench
        .send(r#"{"id":2,"subscribe":{"channel":"c"}}"#)
        .answer(subscribed(0));
    assert_eq!(bench.said(), r#"{"id":2,"subscribe":{}}"#);
    bench.send(r#"{"id":3,"subscribe":{"channel":"c"}}"#);
    assert_eq!(bench.said(), error(3, ErrorCode::ALREADY_SUBSCRIBED));
    bench.send(r#"{"id":4,"subscribe":{"channel":"d"}}"#);
    assert_eq!(bench.said(), error(4, ErrorCode::LIMIT_EXCEEDED));
}

#[test]
fn connection_tokens() {
    let verdict = |verdict| {
        let mut bench = Bench::new(settings());
        bench
            .send(r#"{"id":1,"connect":{"token":"t"}}"#)
            .answer(Answer::Verified(verdict));
        (bench.close_code(), bench.said(), bench)
    };
    let (closed, said, mut bench) = verdict(Err(TokenError::Expired));
    assert_eq!((closed, said), (None, error(1, ErrorCode::TOKEN_EXPIRED)));
    bench.send(r#"{"id":2,"connect":{}}"#);
    assert_eq!(bench.close_code(), Some(3501), "of no use any more");
    let (_, _, mut bench) = verdict(Err(TokenError::Expired));
    assert_eq!(
        bench.pass(10_000).close_code(),
        Some(3502),
        "and stale in the end"
    );
    assert_eq!(verdict(Err(TokenError::Revoked)).0, Some(3500));
    assert_eq!(
        verdict(Err(crate::auth::Flaw::Signature.into())).0,
        Some(3500)
    );
    let (closed, said, _) = verdict(Err(TokenError::Unavailable));
    assert_eq!((closed, said), (None, error(1, ErrorCode::INTERNAL)));
    let past = ConnectionToken {
        expires_at: Some(START),
        ..user("u")
    };
    assert_eq!(
        verdict(Ok(Arc::new(past))).1,
        error(1, ErrorCode::TOKEN_EXPIRED)
    );
}

#[test]
fn no_credentials_at_all() {
    let strict = Settings {
        allow_anonymous_connect_without_token: false,
        ..settings()
    };
    let mut bench = Bench::new(strict.clone());
    assert_eq!(
        bench.send(r#"{"id":1,"connect":{}}"#).close_code(),
        Some(3501)
    );
    let insecure = Settings {
        insecure: true,
        ..strict
    };
    let mut bench = Bench::open_with(insecure);
    bench.send(r#"{"id":2,"subscribe":{"channel":"closed:c"}}"#);
    assert_eq!(
        bench.subscribes().len(),
        1,
        "insecure opens every known namespace"
    );
    bench.answer(subscribed(0)).said();
    bench.send(r#"{"id":3,"subscribe":{"channel":"nowhere:c"}}"#);
    assert_eq!(
        bench.said(),
        error(3, ErrorCode::UNKNOWN_CHANNEL),
        "but no unknown one"
    );
}

#[test]
fn subscription_tokens() {
    let verdict = |verdict: Result<SubscriptionToken, TokenError>| {
        let mut bench = Bench::open_as(settings(), user("u"));
        bench.said();
        bench.send(r#"{"id":2,"subscribe":{"channel":"$c","token":"t"}}"#);
        bench.answer(Answer::SubscriptionVerified(verdict.map(Arc::new)));
        (bench.close_code(), bench.said(), bench)
    };
    let good = SubscriptionToken {
        subject: "u".to_owned(),
        channel: "$c".to_owned(),
        ..SubscriptionToken::default()
    };
    let (closed, said, mut bench) = verdict(Ok(good.clone()));
    assert_eq!((closed, said.as_str()), (None, ""));
    bench.answer(subscribed(0));
    assert_eq!(bench.said(), r#"{"id":2,"subscribe":{}}"#);
    assert_eq!(
        verdict(Err(TokenError::Expired)).1,
        error(2, ErrorCode::TOKEN_EXPIRED)
    );
    assert_eq!(
        verdict(Err(TokenError::Revoked)).1,
        error(2, ErrorCode::PERMISSION_DENIED)
    );
    for foreign in [
        SubscriptionToken {
            subject: "v".to_owned(),
            ..good.clone()
        },
        SubscriptionToken {
            channel: "$d".to_owned(),
            ..good.clone()
        },
        SubscriptionToken {
            client: Some("you".to_owned()),
            ..good.clone()
        },
    ] {
        assert_eq!(verdict(Ok(foreign)).0, Some(3500));
    }
    let past = SubscriptionToken {
        expires_at: Some(START),
        ..good
    };
    assert_eq!(verdict(Ok(past)).1, error(2, ErrorCode::EXPIRED));
}

#[test]
fn refresh_and_expiry() {
    let token = |expires_at| ConnectionToken {
        expires_at,
        ..user("u")
    };
    let opened = || {
        let mut bench = Bench::open_as(settings(), token(Some(START + 60_000)));
        let said = bench.said();
        assert!(said.contains(r#""expires":true,"ttl":60"#), "{said}");
        bench
    };
    let pongs = |bench: &mut Bench, ms: u64| {
        for _ in 0..ms / 1000 {
            bench.pass(1000);
            if bench.said() == "{}" && bench.close_code().is_none() {
                bench.send("{}");
            }
        }
    };
    let mut late = opened();
    pongs(&mut late, 84_000);
    assert_eq!(late.close_code(), None);
    pongs(&mut late, 1_000);
    assert_eq!(late.close_code(), Some(3005), "ttl and 25 seconds more");

    let refreshed = |verdict| {
        let mut bench = opened();
        bench
            .send(r#"{"id":2,"refresh":{"token":"t"}}"#)
            .answer(Answer::Verified(verdict));
        (bench.close_code(), bench.said())
    };
    let result = r#"{"id":2,"refresh":{"client":"me","version":"test","expires":true,"ttl":120}}"#;
    assert_eq!(
        refreshed(Ok(Arc::new(token(Some(START + 120_000))))),
        (None, result.to_owned())
    );
    assert_eq!(refreshed(Err(TokenError::Expired)).0, Some(3005));
    assert_eq!(refreshed(Err(TokenError::Revoked)).0, Some(3500));
    assert_eq!(
        refreshed(Ok(Arc::new(user("v")))).0,
        Some(3500),
        "another user"
    );
    let more = ConnectionToken {
        subscriptions: [("c".to_owned(), TokenSubscription::default())].into(),
        ..user("u")
    };
    assert_eq!(
        refreshed(Ok(Arc::new(more))).0,
        Some(3010),
        "another set of channels"
    );
}

#[test]
fn a_server_ends_what_it_must() {
    let code = |event| Bench::open().event(event).close_code();
    assert_eq!(
        code(Event::Disconnect(DisconnectCode::SHUTDOWN.into())),
        Some(3001)
    );
    assert_eq!(
        code(Event::Disconnect(DisconnectCode::FORCE_DISCONNECT.into())),
        Some(3503)
    );
    let past = Event::Refresh {
        expires_at_ms: Some(START),
        info: None,
    };
    assert_eq!(code(past), Some(3005));
    assert_eq!(
        code(Event::Message(Bytes::from_static(&[0xff]))),
        Some(3506),
        "binary for JSON"
    );
}

#[test]
fn stale_connections_are_closed() {
    let mut bench = Bench::new(settings());
    assert_eq!(bench.pass(9_999).close_code(), None);
    assert_eq!(bench.pass(1).close_code(), Some(3502));
}

#[test]
fn pings_and_pongs() {
    let mut bench = Bench::open();
    bench.pass(12_499);
    assert_eq!(
        bench.said(),
        "",
        "no ping in the first half of the interval"
    );
    bench.pass(1);
    assert_eq!(bench.said(), "{}");
    bench.pass(7_999).send("{}").pass(17_000);
    assert_eq!((bench.said().as_str(), bench.close_code()), ("", None));
    bench.pass(1);
    assert_eq!(bench.said(), "{}");
    bench.send("{}").send("{}");
    assert_eq!(bench.close_code(), Some(3501), "each ping allows one pong");
    assert_eq!(Bench::open().pass(12_500 + 8_000).close_code(), Some(3012));
}

#[test]
fn native_ping_frames() {
    let native = Link {
        ping: PingStyle::Frames,
        ..link(Wire::WebSocketJson)
    };
    let mut bench = Bench::over(settings(), native);
    bench.send(r#"{"id":1,"connect":{}}"#);
    assert_eq!(
        bench.said(),
        r#"{"id":1,"connect":{"client":"me","version":"test"}}"#
    );
    bench.session.handle_pong();
    bench.asked.clear();
    bench.pass(12_500);
    assert_eq!(bench.asked, [Effect::Ping]);
    bench.session.handle_pong();
    assert_eq!(bench.pass(20_000).close_code(), None);
    assert_eq!(bench.pass(20_000).close_code(), Some(3012));
}

#[test]
fn lost_positions() {
    let mut bench = Bench::open();
    bench
        .send(r#"{"id":2,"subscribe":{"channel":"stream:c"}}"#)
        .answer(subscribed(0))
        .said();
    let lost = || Event::PositionLost {
        channel: channel("stream:c"),
    };
    bench.event(lost());
    let push = r#"{"push":{"channel":"stream:c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#;
    assert_eq!(bench.said(), push);
    let gone = Effect::Unsubscribe {
        channel: channel("stream:c"),
    };
    assert_eq!(bench.asked.last(), Some(&gone));
    let mut bench = Bench::open();
    let wanted = ServerSubscription {
        channel: "stream:c".into(),
        ..ServerSubscription::default()
    };
    bench
        .event(Event::Subscribe(Box::new(wanted)))
        .answer(subscribed(3));
    assert_eq!(bench.event(lost()).close_code(), Some(3010), "server-side");
}

#[test]
fn merges_that_fail() {
    let mut bench = Bench::open();
    bench.send(r#"{"id":2,"subscribe":{"channel":"stream:c"}}"#);
    bench.answer(Answer::Subscribed(Err(SubscribeFailure::Insufficient)));
    assert_eq!(bench.close_code(), Some(3010));
}

#[test]
fn too_many_errors_when_configured() {
    let strict = Settings {
        error_limit: 2,
        ..settings()
    };
    let mut bench = Bench::open_with(strict);
    for id in 2..4 {
        bench.send(&format!(r#"{{"id":{id},"history":{{"channel":"c"}}}}"#));
    }
    assert_eq!(bench.close_code(), None);
    bench.send(r#"{"id":4,"history":{"channel":"c"}}"#);
    assert_eq!(bench.close_code(), Some(3509));
}

#[test]
fn emulated_transports_announce_their_end() {
    let stream = Link {
        emulation: Some("secret".into()),
        ..link(Wire::StreamJson)
    };
    let mut bench = Bench::over(settings(), stream);
    bench.send(r#"{"id":1,"connect":{}}"#);
    let said = bench.said();
    assert!(
        said.contains(r#""session":"secret","node":"node""#),
        "{said}"
    );
    bench.event(Event::Disconnect(DisconnectCode::SHUTDOWN.into()));
    assert_eq!(
        bench.said(),
        r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}"#
    );
    assert_eq!(bench.close_code(), Some(3001));
}

#[test]
fn errors_of_others_are_passed_on() {
    let mut bench = Bench::open();
    bench.send(r#"{"id":2,"rpc":{"method":"m"}}"#);
    bench.answer(Answer::Rpc(Err(ErrorReply {
        code: 404,
        message: "no such thread".to_owned(),
        temporary: false,
    })));
    assert_eq!(
        bench.said(),
        r#"{"id":2,"error":{"code":404,"message":"no such thread"}}"#
    );
}
