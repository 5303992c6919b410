//! Which tokens a session lives by, as newer ones are shown.

use super::*;

#[test]
fn a_raised_session_lives_by_both_its_tokens() {
    let shown = |id: &str, level: u8, authenticated_at: Option<u64>| ConnectionToken {
        id: Some(id.to_owned()),
        level,
        authenticated_at,
        ..user("u")
    };
    let mut bench = Bench::open_as(settings(), shown("came", 2, None));
    let lives_by = |bench: &Bench| {
        let logins = bench.session.identity().logins();
        let ids = logins.filter_map(|it| it.token.as_deref().map(str::to_owned));
        ids.collect::<Vec<_>>()
    };
    assert_eq!(lives_by(&bench), ["came"]);
    bench.send(r#"{"id":2,"rpc":{"method":"session.step_up","data":{"token":"t"}}}"#);
    bench.answer(Answer::SteppedUp(Ok(SteppedUp {
        token: Arc::new(shown("raised", 3, Some(START))),
        output: Bytes::from_static(b"{}"),
    })));
    assert_eq!(lives_by(&bench), ["came", "raised"]);
    let rows = [
        (shown("renewed", 2, None), vec!["renewed", "raised"]),
        (shown("stronger", 3, Some(START + 1)), vec!["stronger"]),
    ];
    for (token, expected) in rows {
        bench.send(r#"{"id":3,"refresh":{"token":"t"}}"#);
        bench.answer(Answer::Verified(Ok(Arc::new(token))));
        assert_eq!(lives_by(&bench), expected);
        assert_eq!(bench.session.identity().level, 3);
    }
}
