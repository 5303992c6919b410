//! Whole exchanges: recovery, server-side subscriptions, entitlements, step-up, order.

use super::*;
use crate::hub::Audience;

fn entitlement(name: &str, full_until_ms: u64) -> Entitlement {
    Entitlement {
        channel: channel(name),
        lens: Lens {
            audience: Audience(1),
            full_until_ms,
        },
    }
}

/// A person of the domain, connected, subscribed to what is named.
fn person(entitlements: Vec<Entitlement>) -> Bench {
    let mut bench = entering();
    let count = entitlements.len();
    bench.answer(Answer::Entered(Ok(entitlements)));
    let tickets = bench.tickets();
    for ticket in &tickets[tickets.len() - count..] {
        bench.answer_to(*ticket, subscribed(0));
    }
    assert!(bench.session.is_open());
    bench.said();
    bench.asked.clear();
    bench
}

/// A person whose entitlements are asked for.
fn entering() -> Bench {
    let domain = Settings {
        domain: true,
        ..settings()
    };
    let bench = Bench::open_as(domain, user("u"));
    assert!(matches!(bench.asked.last(), Some(Effect::Enter { .. })));
    bench
}

fn recover(namespace: &str, since: u64, epoch: &str, flag: i64, answer: Answer) -> String {
    let mut bench = Bench::open();
    bench.send(&format!(
        r#"{{"id":2,"subscribe":{{"channel":"{namespace}:c","recover":true,"offset":{since},"epoch":"{epoch}","flag":{flag}}}}}"#
    ));
    bench.answer(answer).said()
}

#[test]
fn stream_recovery() {
    let rows = [
        // (since, epoch, answer, what the result holds)
        (
            3,
            "e",
            read(4, 5),
            r#""publications":[{"data":4,"offset":4},{"data":5,"offset":5}],"recovered":true,"offset":3,"positioned":true,"was_recovering":true"#,
        ),
        (
            5,
            "e",
            subscribed(5),
            r#""recovered":true,"offset":5,"positioned":true,"was_recovering":true"#,
        ),
        (
            4,
            "",
            read(5, 5),
            r#""publications":[{"data":5,"offset":5}],"recovered":true,"offset":4,"positioned":true,"was_recovering":true"#,
        ),
        (
            3,
            "e",
            read(5, 5),
            r#""offset":5,"positioned":true,"was_recovering":true"#,
        ),
        (
            3,
            "other",
            read(4, 5),
            r#""offset":5,"positioned":true,"was_recovering":true"#,
        ),
        (
            9,
            "e",
            subscribed(5),
            r#""offset":5,"positioned":true,"was_recovering":true"#,
        ),
        (
            0,
            "_",
            subscribed(0),
            r#""positioned":true,"was_recovering":true"#,
        ),
    ];
    for (since, epoch, answer, expected) in rows {
        let expected =
            format!(r#"{{"id":2,"subscribe":{{"recoverable":true,"epoch":"e",{expected}}}}}"#);
        assert_eq!(
            recover("stream", since, epoch, 0, answer),
            expected,
            "{since} {epoch}"
        );
    }
}

#[test]
fn who_insists_on_recovery_gets_112() {
    let refused = r#"{"id":2,"error":{"code":112,"message":"unrecoverable position"}}"#;
    assert_eq!(recover("stream", 3, "e", 2, read(5, 5)), refused);
    assert!(recover("stream", 4, "e", 2, read(5, 5)).contains("\"recovered\":true"));
}

#[test]
fn cache_recovery_gives_the_newest_unless_the_client_has_it() {
    let newest = recover("cache", 1, "e", 0, read(5, 5));
    assert!(
        newest.contains(r#""publications":[{"data":5,"offset":5}],"recovered":true,"offset":5"#),
        "{newest}"
    );
    let held = recover("cache", 5, "e", 0, read(5, 5));
    assert!(
        held.contains(r#""recovered":true,"offset":5"#) && !held.contains("publications"),
        "{held}"
    );
    let void = recover("cache", 5, "old", 0, read(5, 5));
    assert!(
        void.contains("publications"),
        "of another epoch it has nothing: {void}"
    );
    let expired = recover("cache", 1, "e", 0, subscribed(5));
    assert!(!expired.contains("recovered\":true"), "{expired}");
}

#[test]
fn recovery_where_there_is_none_is_ignored() {
    let mut bench = Bench::open();
    bench.send(r#"{"id":2,"subscribe":{"channel":"c","recover":true,"offset":3,"epoch":"e"}}"#);
    assert_eq!(bench.subscribes()[0].backlog, BacklogWish::None);
    assert_eq!(
        bench
            .answer(Answer::Subscribed(Ok(Subscribed::default())))
            .said(),
        r#"{"id":2,"subscribe":{"was_recovering":true}}"#
    );
}

#[test]
fn what_is_read_for_a_subscription() {
    let wish = |frame: &str| {
        let mut bench = Bench::open();
        bench.send(frame);
        bench.subscribes()[0].backlog.clone()
    };
    assert_eq!(
        wish(r#"{"id":2,"subscribe":{"channel":"stream:c"}}"#),
        BacklogWish::Top
    );
    let since = BacklogWish::Since {
        since: klokke_protocol::StreamPosition {
            offset: 7,
            epoch: "e".to_owned(),
        },
        limit: 300,
    };
    assert_eq!(
        wish(
            r#"{"id":2,"subscribe":{"channel":"stream:c","recover":true,"offset":7,"epoch":"e"}}"#
        ),
        since
    );
    assert_eq!(
        wish(r#"{"id":2,"subscribe":{"channel":"cache:c","recover":true}}"#),
        BacklogWish::Latest
    );
}

#[test]
fn commands_run_one_after_another_and_a_pong_does_not_wait() {
    let mut bench = Bench::open();
    bench.pass(12_500).said();
    bench.send("{\"id\":2,\"rpc\":{\"method\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"c\",\"data\":1}}");
    bench
        .send(r#"{"id":4,"unsubscribe":{"channel":"c"}}"#)
        .send("{}");
    assert_eq!(bench.asked.len(), 1, "only the first is worked on");
    bench.pass(8_000);
    assert_eq!(bench.close_code(), None, "the pong was seen");
    bench.answer(Answer::Rpc(Ok(Bytes::from_static(b"{}"))));
    assert_eq!(bench.said(), r#"{"id":2,"rpc":{"data":{}}}"#);
    bench.answer(Answer::Published(Ok(())));
    assert_eq!(
        bench.said(),
        "{\"id\":3,\"publish\":{}}\n{\"id\":4,\"unsubscribe\":{}}"
    );
}

#[test]
fn a_pong_that_may_lie_unread_is_not_missed() {
    let mut bench = Bench::open();
    bench.send("{\"id\":2,\"rpc\":{\"method\":\"a\"}}\n{\"id\":3,\"rpc\":{\"method\":\"b\"}}");
    assert_eq!(bench.pass(30_000).close_code(), None);
    let ticket = bench.tickets()[0];
    bench.answer_to(ticket, Answer::Rpc(Ok(Bytes::new())));
    let ticket = bench.tickets()[1];
    bench.answer_to(ticket, Answer::Rpc(Ok(Bytes::new())));
    assert_eq!(
        bench.pass(8_000).close_code(),
        Some(3012),
        "once all is read it is"
    );
}

#[test]
fn a_publisher_is_shown_as_it_is_in_the_channel() {
    let token = ConnectionToken {
        info: Some(Bytes::from_static(b"{\"name\":1}")),
        ..user("u")
    };
    let mut bench = Bench::open_as(settings(), token);
    bench.send(r#"{"id":2,"publish":{"channel":"c","data":{"a":1}}}"#);
    let Some(Effect::Publish {
        channel: to,
        data,
        info,
        ..
    }) = bench.asked.last()
    else {
        panic!("a publish")
    };
    assert_eq!((to, data.as_ref()), (&channel("c"), &b"{\"a\":1}"[..]));
    assert_eq!(
        (
            info.user.as_str(),
            info.client.as_str(),
            info.conn_info.as_ref()
        ),
        ("u", "me", &b"{\"name\":1}"[..])
    );
}

#[test]
fn history_limits_and_presence_rights_of_subscribers() {
    let mut bench = Bench::open();
    bench
        .send(r#"{"id":2,"subscribe":{"channel":"stream:c"}}"#)
        .answer(subscribed(0))
        .said();
    for (asked, granted) in [(0, 0), (10, 10), (1000, 300), (-1, 300)] {
        bench.send(&format!(
            r#"{{"id":3,"history":{{"channel":"stream:c","limit":{asked}}}}}"#
        ));
        let Some(Effect::History(history)) = bench.asked.last() else {
            panic!("a reading")
        };
        assert_eq!(history.limit, granted, "{asked}");
        bench.answer(Answer::History(Ok(HistoryPage::default())));
    }
    bench.said();
    bench.send(r#"{"id":4,"history":{"channel":"stream:c","reverse":true,"since":{"epoch":"e"}}}"#);
    assert_eq!(
        bench.said(),
        r#"{"id":4,"error":{"code":107,"message":"bad request"}}"#
    );
    bench.send(r#"{"id":5,"presence_stats":{"channel":"stream:c"}}"#);
    let count = PresenceCount {
        clients: 2,
        users: 1,
    };
    bench.answer(Answer::PresenceStats(Ok(count)));
    assert_eq!(
        bench.said(),
        r#"{"id":5,"presence_stats":{"num_clients":2,"num_users":1}}"#
    );
}

#[test]
fn coming_is_announced_after_the_reply() {
    let mut bench = Bench::open();
    bench.send(r#"{"id":2,"subscribe":{"channel":"stream:c","join_leave":true}}"#);
    assert!(bench.subscribes()[0].options.join_leave);
    bench
        .session
        .handle_answer(bench.tickets()[0], subscribed(0), START);
    let first = bench.session.poll_effect();
    assert!(matches!(first, Some(Effect::Write { .. })), "{first:?}");
    let second = bench.session.poll_effect();
    assert!(
        matches!(second, Some(Effect::Announce { .. })),
        "{second:?}"
    );
}

#[test]
fn server_side_subscriptions_come_with_the_connect_result() {
    let with_personal = Settings {
        personal_channel: Some(PersonalChannel {
            namespace: "stream".into(),
        }),
        ..settings()
    };
    let token = ConnectionToken {
        subscriptions: [("closed:news".to_owned(), TokenSubscription::default())].into(),
        ..user("u")
    };
    let mut bench = Bench::new(with_personal);
    bench.send(r#"{"id":1,"connect":{"token":"t","subs":{"stream:#u":{"recover":true,"offset":1,"epoch":"e"},"stream:own":{},"closed:own":{}}}}"#);
    bench.answer(Answer::Verified(Ok(Arc::new(token))));
    let asked: Vec<_> = bench
        .subscribes()
        .iter()
        .map(|it| it.channel.as_str().to_owned())
        .collect();
    assert_eq!(
        asked,
        ["closed:news", "stream:#u", "stream:own"],
        "not what it may not choose"
    );
    assert!(
        bench.subscribes().iter().all(|it| it.options.held),
        "held back until the reply"
    );
    let tickets: Vec<_> = bench.subscribes().iter().map(|it| it.ticket).collect();
    bench
        .answer_to(tickets[2], subscribed(0))
        .answer_to(tickets[1], read(2, 2));
    assert_eq!(bench.said(), "", "one reply for all");
    bench.answer_to(tickets[0], Answer::Subscribed(Ok(Subscribed::default())));
    let expected = r#"{"id":1,"connect":{"client":"me","version":"test","subs":{"closed:news":{},"stream:#u":{"recoverable":true,"epoch":"e","publications":[{"data":2,"offset":2}],"recovered":true,"offset":1,"positioned":true,"was_recovering":true},"stream:own":{"recoverable":true,"epoch":"e","positioned":true}},"ping":25,"pong":true}}"#;
    assert_eq!(bench.said(), expected);
    assert!(bench.asked.contains(&Effect::Release));
}

#[test]
fn a_failing_server_side_subscription_fails_the_connect() {
    let token = ConnectionToken {
        subscriptions: [("nowhere:c".to_owned(), TokenSubscription::default())].into(),
        ..user("u")
    };
    let mut bench = Bench::open_as(settings(), token);
    assert_eq!(
        bench.said(),
        r#"{"id":1,"error":{"code":102,"message":"unknown channel"}}"#
    );
    assert_eq!(bench.send("{}").close_code(), Some(3501));
}

#[test]
fn a_person_gets_what_the_relations_say() {
    let mut bench = person(vec![
        entitlement("unit:G1", 0),
        entitlement("group:G1/g1", 0),
    ]);
    bench.send(r#"{"id":2,"subscribe":{"channel":"unit:G1"}}"#);
    assert_eq!(
        bench.said(),
        r#"{"id":2,"error":{"code":105,"message":"already subscribed"}}"#
    );
    bench.send(r#"{"id":3,"publish":{"channel":"unit:G1","data":1}}"#);
    assert_eq!(
        bench.said(),
        r#"{"id":3,"error":{"code":103,"message":"permission denied"}}"#
    );
    bench.send(r#"{"id":4,"history":{"channel":"unit:G1","limit":1}}"#);
    let Some(Effect::History(history)) = bench.asked.last() else {
        panic!("a reading")
    };
    assert_eq!(
        history.lens,
        entitlement("unit:G1", 0).lens,
        "seen as the person sees it"
    );
}

#[test]
fn changed_entitlements_act_at_once() {
    let mut bench = person(vec![
        entitlement("unit:G1", 0),
        entitlement("group:G1/g1", 0),
        entitlement("unit:G2", 0),
    ]);
    bench.event(Event::Entitlements(vec![
        entitlement("unit:G1", 9),
        entitlement("group:G1/g2", 0),
        entitlement("unit:G2", 0),
    ]));
    let gone = r#"{"push":{"channel":"group:G1/g1","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#;
    assert_eq!(bench.said(), gone, "and unit:G2 is not touched");
    let kinds: Vec<_> = bench
        .asked
        .iter()
        .map(|effect| format!("{effect:?}"))
        .collect();
    assert_eq!(kinds, ["Unsubscribe", "SetLens", "Subscribe"]);
    bench.answer(subscribed(4));
    let new = r#"{"push":{"channel":"group:G1/g2","subscribe":{"recoverable":true,"epoch":"e","offset":4,"positioned":true}}}"#;
    assert_eq!(bench.said(), new);
}

#[test]
fn entitlements_that_change_while_connecting_void_what_was_read() {
    let mut bench = entering();
    bench.answer(Answer::Entered(Ok(vec![
        entitlement("unit:G1", 9),
        entitlement("group:G1/g1", 0),
    ])));
    let tickets: Vec<_> = bench.subscribes().iter().map(|it| it.ticket).collect();
    bench.answer_to(tickets[0], read(1, 1));
    bench.event(Event::Entitlements(vec![entitlement("unit:G1", 0)]));
    bench.answer_to(tickets[1], read(1, 1));
    assert_eq!(bench.said(), "", "the narrowed channel is read again");
    let again = bench
        .subscribes()
        .last()
        .map(|it| (it.channel.clone(), it.options.lens));
    assert_eq!(
        again,
        Some((channel("unit:G1"), entitlement("unit:G1", 0).lens))
    );
    bench.answer(subscribed(1));
    let said = bench.said();
    assert!(
        said.contains("unit:G1") && !said.contains("group:G1/g1"),
        "{said}"
    );
    assert!(!said.contains("publications"), "{said}");
}

#[test]
fn events_of_back_ends_wait_until_the_connection_is_open() {
    let mut bench = entering();
    bench.event(Event::Message(Bytes::from_static(b"1")));
    assert_eq!(bench.said(), "");
    bench.answer(Answer::Entered(Ok(Vec::new())));
    let said = bench.said();
    let (first, second) = said.split_once('\n').expect("two messages");
    assert!(
        first.contains("connect") && second.contains("message"),
        "{said}"
    );
}

#[test]
fn back_ends_do_not_end_what_rights_give() {
    let mut bench = person(vec![entitlement("unit:G1", 0)]);
    bench
        .send(r#"{"id":2,"subscribe":{"channel":"c"}}"#)
        .answer(subscribed(0))
        .said();
    let unsubscribe = klokke_protocol::UnsubscribeCode::SERVER.into();
    bench.event(Event::Unsubscribe {
        channel: None,
        unsubscribe,
    });
    let said = bench.said();
    assert!(
        said.contains("\"channel\":\"c\"") && !said.contains("unit:G1"),
        "{said}"
    );
}

#[test]
fn stepping_up_raises_the_level_and_asks_for_new_entitlements() {
    let mut bench = person(Vec::new());
    let ask = |id: u32| {
        format!(r#"{{"id":{id},"rpc":{{"method":"session.step_up","data":{{"token":"t"}}}}}}"#)
    };
    bench.send(&ask(2));
    assert!(
        matches!(bench.asked.last(), Some(Effect::StepUp { data, .. }) if &**data == br#"{"token":"t"}"#),
        "the driver judges"
    );
    let token = Arc::new(ConnectionToken {
        level: 3,
        authenticated_at: Some(START),
        ..user("u")
    });
    let output = Bytes::from_static(br#"{"level":"substantial"}"#);
    bench.answer(Answer::SteppedUp(Ok(SteppedUp { token, output })));
    assert_eq!(
        bench.said(),
        r#"{"id":2,"rpc":{"data":{"level":"substantial"}}}"#
    );
    assert!(
        matches!(bench.asked.last(), Some(Effect::Reassess { identity }) if identity.level == 3 && identity.authenticated_ms == Some(START))
    );

    bench.asked.clear();
    bench.send(&ask(3));
    let refused = ErrorReply {
        code: 1013,
        message: "error.step_up_refused".to_owned(),
        temporary: false,
    };
    bench.answer(Answer::SteppedUp(Err(refused)));
    assert_eq!(
        bench.said(),
        r#"{"id":3,"error":{"code":1013,"message":"error.step_up_refused"}}"#
    );
    assert_eq!(bench.session.identity().level, 3, "nothing is taken away");

    bench.asked.clear();
    bench.send(r#"{"id":4,"refresh":{"token":"t"}}"#);
    bench.answer(Answer::Verified(Ok(Arc::new(user("u")))));
    assert_eq!(
        bench.session.identity().level,
        3,
        "an everyday token does not lower it"
    );
    assert_eq!(bench.asked.len(), 1, "nor asks again");
}

#[test]
fn subscriptions_expire_unless_refreshed() {
    let token = |expires_at| SubscriptionToken {
        channel: "$c".to_owned(),
        expires_at: Some(expires_at),
        ..SubscriptionToken::default()
    };
    let quiet = Settings {
        ping_interval_ms: 0,
        ..settings()
    };
    let mut bench = Bench::open_with(quiet);
    bench.send(r#"{"id":2,"subscribe":{"channel":"$c","token":"t"}}"#);
    bench.answer(Answer::SubscriptionVerified(Ok(Arc::new(token(
        START + 5_000,
    )))));
    bench.answer(subscribed(0));
    assert_eq!(
        bench.said(),
        r#"{"id":2,"subscribe":{"expires":true,"ttl":5}}"#
    );
    bench.send(r#"{"id":3,"sub_refresh":{"channel":"$c","token":"t"}}"#);
    bench.answer(Answer::SubscriptionVerified(Ok(Arc::new(token(
        START + 9_000,
    )))));
    assert_eq!(
        bench.said(),
        r#"{"id":3,"sub_refresh":{"expires":true,"ttl":9}}"#
    );
    bench.pass(9_000 + 24_999);
    assert_eq!(bench.said(), "");
    bench.pass(1);
    assert_eq!(
        bench.said(),
        r#"{"push":{"channel":"$c","unsubscribe":{"code":2501,"reason":"subscription expired"}}}"#
    );
    let mut bench = Bench::open_with(Settings {
        ping_interval_ms: 0,
        ..settings()
    });
    let wanted = ServerSubscription {
        channel: "c".into(),
        expires_at_ms: Some(START + 1000),
        ..ServerSubscription::default()
    };
    bench
        .event(Event::Subscribe(Box::new(wanted)))
        .answer(subscribed(0));
    assert_eq!(bench.pass(26_000).close_code(), Some(3006), "server-side");
}

#[test]
fn an_answer_too_late_changes_nothing() {
    let mut bench = Bench::open();
    bench.send(r#"{"id":2,"rpc":{"method":"m"}}"#);
    let ticket = bench.tickets()[0];
    bench
        .answer_to(ticket, Answer::Rpc(Ok(Bytes::new())))
        .said();
    bench.answer_to(ticket, Answer::Rpc(Ok(Bytes::new())));
    bench.answer_to(Ticket(99), subscribed(0));
    assert_eq!((bench.said().as_str(), bench.close_code()), ("", None));
}

#[test]
fn an_idle_session_is_small_and_keeps_no_buffers() {
    assert!(size_of::<Session>() <= 300, "{}", size_of::<Session>());
}
