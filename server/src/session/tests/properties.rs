//! Whatever comes in: no panic, at most one reply a command and none missing, bounded memory.

use std::collections::HashMap;

use klokke_protocol::Codec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Input {
    Frame(String),
    Bytes(Vec<u8>),
    AnswerNewest(u8),
    AnswerOldest(u8),
    Event(u8),
    Time(u64),
}

fn request() -> impl Strategy<Value = String> {
    let channel = prop::sample::select(vec![
        "c",
        "stream:c",
        "cache:c",
        "closed:c",
        "$c",
        "c#1",
        "nowhere:c",
        "unit:G1",
        "stream:d",
    ]);
    (0..12_u8, channel).prop_map(|(kind, channel)| match kind {
        0 => format!(r#""subscribe":{{"channel":"{channel}"}}"#),
        1 => format!(
            r#""subscribe":{{"channel":"{channel}","recover":true,"offset":1,"epoch":"e"}}"#
        ),
        2 => format!(r#""subscribe":{{"channel":"{channel}","token":"t"}}"#),
        3 => format!(r#""unsubscribe":{{"channel":"{channel}"}}"#),
        4 => format!(r#""publish":{{"channel":"{channel}","data":1}}"#),
        5 => format!(r#""presence":{{"channel":"{channel}"}}"#),
        6 => format!(r#""presence_stats":{{"channel":"{channel}"}}"#),
        7 => format!(r#""history":{{"channel":"{channel}","limit":5}}"#),
        8 => r#""rpc":{"method":"m"}"#.to_owned(),
        9 => r#""rpc":{"method":"session.step_up","data":{"token":"t"}}"#.to_owned(),
        10 => r#""refresh":{"token":"t"}"#.to_owned(),
        _ => format!(r#""sub_refresh":{{"channel":"{channel}","token":"t"}}"#),
    })
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        10 => request().prop_map(Input::Frame),
        1 => Just(Input::Frame(String::new())),
        1 => prop::collection::vec(any::<u8>(), 0..30).prop_map(Input::Bytes),
        8 => any::<u8>().prop_map(Input::AnswerNewest),
        3 => any::<u8>().prop_map(Input::AnswerOldest),
        3 => any::<u8>().prop_map(Input::Event),
        2 => (0..30_000_u64).prop_map(Input::Time),
    ]
}

/// A fitting answer to an effect, good or bad by `choice`.
fn answer(effect: &Effect, choice: u8) -> Option<Answer> {
    let error = || ErrorReply::from(ErrorCode::INTERNAL);
    let is_good = !choice.is_multiple_of(4);
    Some(match effect {
        Effect::Verify { .. } if is_good => Answer::Verified(Ok(Arc::new(user("u")))),
        Effect::Verify { .. } => Answer::Verified(Err(TokenError::Unavailable)),
        Effect::VerifySubscription { .. } if is_good => {
            Answer::SubscriptionVerified(Ok(Arc::new(SubscriptionToken {
                subject: "u".to_owned(),
                channel: "$c".to_owned(),
                ..SubscriptionToken::default()
            })))
        }
        Effect::VerifySubscription { .. } => Answer::SubscriptionVerified(Err(TokenError::Expired)),
        Effect::Enter { .. } => Answer::Entered(Ok(Vec::new())),
        Effect::Subscribe(_) if is_good => read(1, u64::from(choice % 3)),
        Effect::Subscribe(_) => Answer::Subscribed(Err(SubscribeFailure::Refused(error()))),
        Effect::Publish { .. } if is_good => Answer::Published(Ok(())),
        Effect::Publish { .. } => Answer::Published(Err(error())),
        Effect::History(_) => Answer::History(Ok(HistoryPage::default())),
        Effect::Presence { .. } => Answer::Presence(Ok(Vec::new())),
        Effect::PresenceStats { .. } => Answer::PresenceStats(Ok(PresenceCount::default())),
        Effect::Rpc { .. } if is_good => Answer::Rpc(Ok(Bytes::from_static(b"1"))),
        // Not what was asked: the driver's mistake must not break the session.
        Effect::Rpc { .. } => Answer::Published(Ok(())),
        Effect::StepUp { .. } if is_good => Answer::SteppedUp(Ok(SteppedUp {
            token: Arc::new(user("u")),
            output: Bytes::from_static(b"1"),
        })),
        Effect::StepUp { .. } => Answer::SteppedUp(Err(error())),
        _ => return None,
    })
}

fn event(choice: u8) -> Event {
    let name = ["c", "stream:c", "unit:G1"][usize::from(choice / 8 % 3)];
    match choice % 6 {
        0 => Event::PositionLost {
            channel: channel("stream:c"),
        },
        1 => Event::Subscribe(Box::new(ServerSubscription {
            channel: name.into(),
            ..ServerSubscription::default()
        })),
        2 => Event::Unsubscribe {
            channel: Some(channel(name)),
            unsubscribe: klokke_protocol::UnsubscribeCode::SERVER.into(),
        },
        3 => Event::Message(Bytes::from_static(b"1")),
        4 => Event::Refresh {
            expires_at_ms: None,
            info: None,
        },
        _ => Event::Entitlements(
            (choice > 128)
                .then(|| Entitlement {
                    channel: channel("unit:G1"),
                    lens: Lens::OPEN,
                })
                .into_iter()
                .collect(),
        ),
    }
}

/// Takes what was asked, newest or oldest question, and answers it.
fn answer_one(bench: &mut Bench, newest: bool, choice: u8) {
    let places: Vec<_> = (0..bench.asked.len())
        .filter(|n| ticket_of(&bench.asked[*n]).is_some())
        .collect();
    let place = if newest {
        places.last()
    } else {
        places.first()
    };
    if let Some(place) = place {
        let effect = bench.asked.remove(*place);
        if let (Some(ticket), Some(answer)) = (ticket_of(&effect), answer(&effect, choice)) {
            bench.answer_to(ticket, answer);
        }
    }
}

/// Counts replies by id in what was said.
fn count(said: &str, replies: &mut HashMap<u32, usize>) {
    for line in said.lines() {
        for reply in Codec::Json
            .decode_replies(line.as_bytes())
            .expect("a client can read it")
        {
            if reply.id > 0 {
                *replies.entry(reply.id).or_default() += 1;
            }
        }
    }
}

fn run(inputs: Vec<Input>) {
    let mut bench = Bench::open_with(Settings {
        channel_limit: 3,
        ..settings()
    });
    let mut sent = Vec::new();
    let mut replies = HashMap::new();
    for input in inputs {
        match input {
            Input::Frame(request) if request.is_empty() => {
                bench.send("{}");
            }
            Input::Frame(request) => {
                let id = u32::try_from(sent.len()).expect("few") + 2;
                if bench.closed.is_none() {
                    sent.push(id);
                }
                bench.send(&format!("{{\"id\":{id},{request}}}"));
            }
            Input::Bytes(bytes) => {
                bench.session.handle_frame(bytes.into(), bench.now);
                bench.settle();
            }
            Input::AnswerNewest(choice) => answer_one(&mut bench, true, choice),
            Input::AnswerOldest(choice) => answer_one(&mut bench, false, choice),
            Input::Event(choice) => {
                bench.event(event(choice));
            }
            Input::Time(ms) => {
                bench.pass(ms);
            }
        }
        count(&bench.said(), &mut replies);
    }
    // Whatever is still open is answered in the end.
    while bench.closed.is_none() && !bench.tickets().is_empty() {
        answer_one(&mut bench, false, 1);
        count(&bench.said(), &mut replies);
    }
    assert!(
        replies.values().all(|count| *count == 1),
        "no command is answered twice"
    );
    if bench.closed.is_none() {
        for id in sent {
            assert!(replies.contains_key(&id), "command {id} was not answered");
        }
        assert!(bench.session.next_deadline().is_some());
        assert!(
            bench.session.channels().count() <= 5,
            "subscriptions are bounded"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_command_gets_one_reply_and_nothing_panics(inputs in prop::collection::vec(input(), 1..60)) {
        run(inputs);
    }

    #[test]
    fn a_first_frame_of_any_bytes_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for wire in [Wire::WebSocketJson, Wire::WebSocketProtobuf] {
            let mut session = Session::new(Arc::new(settings()), link(wire), START);
            session.handle_frame(bytes.clone().into(), START);
            while session.poll_effect().is_some() {}
            assert!(session.is_closed() || session.is_open());
        }
    }
}
