//! Lines that are refused: each with its number and a reason, and nothing of what stood there.

use super::SOUND;
use crate::people::import::{LineError, ReadError, read};

#[test]
fn a_wrong_line_refuses_the_file_with_number_and_reason() {
    let cases: [(&str, LineError); 23] = [
        (
            r#"{"type":"person","id":"x","name":" "}"#,
            LineError::Name("name"),
        ),
        (
            r#"{"type":"person","id":"x","name":"N\u0000N"}"#,
            LineError::Name("name"),
        ),
        (
            r#"{"type":"person","id":"x","name":"N","alias":""}"#,
            LineError::Name("alias"),
        ),
        (
            r#"{"type":"profile","id":"G1.p3","person":"a","kind":"leader","title":"\n"}"#,
            LineError::Name("title"),
        ),
        (
            r#"{"type":"person","id":"a","name":"Igen"}"#,
            LineError::Twice,
        ),
        (
            r#"{"type":"account","subject":"sx","person":"nobody"}"#,
            LineError::Unknown("person"),
        ),
        (
            r#"{"type":"account","subject":"sa","person":"a"}"#,
            LineError::Twice,
        ),
        (
            r#"{"type":"account","subject":"sa","person":"b"}"#,
            LineError::LoginTaken(5),
        ),
        (
            r#"{"type":"profile","id":"G9.p1","person":"a","kind":"guardian"}"#,
            LineError::Unknown("id"),
        ),
        (
            r#"{"type":"profile","id":"G1.p1","person":"a","kind":"guardian"}"#,
            LineError::Twice,
        ),
        (
            r#"{"type":"profile","id":"G1.p3","person":"a","kind":"system_administrator"}"#,
            LineError::Scope,
        ),
        (
            r#"{"type":"profile","id":"G1.p3","person":"a","kind":"leader","scope":"central"}"#,
            LineError::Scope,
        ),
        (
            r#"{"type":"profile","id":"G1.p3","person":"a","kind":"daycare_child"}"#,
            LineError::DaycareLogin,
        ),
        (
            r#"{"type":"profile","id":"G1.p3","person":"a","kind":"external_actor","home":"M9"}"#,
            LineError::Unknown("home"),
        ),
        (
            r#"{"type":"relation","adult":"G1.p2","child":"G1.p1","kind":"guardian"}"#,
            LineError::Kinds,
        ),
        (
            r#"{"type":"relation","adult":"G1.p1","child":"M1.p1","kind":"guardian"}"#,
            LineError::Units,
        ),
        (
            r#"{"type":"relation","adult":"G1.p1","child":"G1.p9","kind":"guardian"}"#,
            LineError::Unknown("child"),
        ),
        (
            r#"{"type":"membership","group":"G1.g1","profile":"G1.p1","kind":"member","from":"2027-02-02","until":"2027-02-01"}"#,
            LineError::Dates,
        ),
        (
            r#"{"type":"membership","group":"G1.g7","profile":"G1.p1","kind":"member"}"#,
            LineError::Unknown("group"),
        ),
        (
            r#"{"type":"membership","group":"M1.g1","profile":"G1.p1","kind":"member"}"#,
            LineError::Units,
        ),
        (
            r#"{"type":"unit","code":"G2","name":"Skole","kind":"school","parent":"G1"}"#,
            LineError::Parent,
        ),
        // A ring of parents would have to begin with a unit that names what does not stand above it.
        (
            r#"{"type":"unit","code":"G2","name":"Klub","kind":"club","parent":"G2"}"#,
            LineError::Unknown("parent"),
        ),
        (
            r#"{"type":"group","id":"G2.g1","name":"2.B","kind":"class"}"#,
            LineError::Unknown("id"),
        ),
    ];
    for (line, wanted) in cases {
        match read(format!("{SOUND}{line}\n").as_bytes(), |_| {}) {
            Err(ReadError::Line { line: 11, error }) => assert_eq!(error, wanted, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn who_comes_from_outside_says_from_where() {
    let line = |id: &str, more: &str| {
        let line = format!(r#"{{"type":"profile","id":"{id}","person":"a",{more}}}"#);
        read(format!("{SOUND}{line}\n").as_bytes(), |_| {}).map(drop)
    };
    for outsider in [
        r#""kind":"municipal_administration""#,
        r#""kind":"external_actor""#,
        r#""kind":"system_administrator","scope":"municipality""#,
    ] {
        let refused = line("G1.p3", outsider).expect_err(outsider);
        assert!(
            matches!(
                refused,
                ReadError::Line {
                    line: 11,
                    error: LineError::Home
                }
            ),
            "{outsider}: {refused}"
        );
        line("G1.p3", &format!(r#"{outsider},"home":"M1""#)).expect(outsider);
    }
    line("M1.p1", r#""kind":"municipal_administration""#).expect("the town hall works there");
    line("G1.p3", r#""kind":"leader""#).expect("a leader works there");
    line("M1.p1", r#""kind":"external_actor""#).expect_err("an external actor works nowhere");
}

#[test]
fn bytes_that_are_no_line_are_refused_without_quoting_them() {
    let refused = |file: &[u8]| read(file, |_| {}).expect_err("no file of ours");
    let second = |line: &[u8]| {
        let mut file =
            br#"{"type":"unit","code":"M1","name":"Kommune","kind":"municipality"}"#.to_vec();
        file.push(b'\n');
        file.extend_from_slice(line);
        match refused(&file) {
            ReadError::Line { line: 2, error } => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(second(b"\xff\n"), LineError::Encoding);
    assert_eq!(second(&vec![b' '; 70_000]), LineError::TooLong);
    assert_eq!(second(&vec![b'{'; 1_000_000]), LineError::TooLong);
    assert_eq!(
        second(b"{\"type\":\"person\",\"id\":\"x\",\"name\":\"a\0b\"}"),
        LineError::Json(35)
    );
    assert_eq!(second(b"\0"), LineError::Json(1));
    assert_eq!(second(&vec![b'['; 60_000]), LineError::NotObject);
    for hostile in [
        "hemmeligt",
        r#"{"hemmeligt":"hemmeligt"}"#,
        r#"{"type":"person","id":"hemmeligt","hemmeligt":"hemmeligt"}"#,
    ] {
        let fault = refused(hostile.as_bytes()).to_string();
        assert!(
            fault.starts_with("line 1: ") && !fault.contains("hemmeligt"),
            "{fault}"
        );
    }
    assert!(matches!(refused(b""), ReadError::Empty));
    assert!(matches!(refused(b"\n\n"), ReadError::Empty));
}

#[test]
fn a_byte_order_mark_and_empty_lines_do_no_harm() {
    let file = format!("\u{feff}{}", SOUND.replace('\n', "\r\n\r\n"));
    assert_eq!(read(file.as_bytes(), |_| {}).expect("sound").lines, 20);
}

#[test]
fn an_inbox_has_no_more_members_than_a_thread_can_address() {
    let members = vec!["\"G1.p1\""; 51].join(",");
    let line = format!(r#"{{"type":"inbox","id":"G1.i1","name":"Kontor","members":[{members}]}}"#);
    match read(format!("{SOUND}{line}\n").as_bytes(), |_| {}) {
        Err(ReadError::Line { line: 11, error }) => assert_eq!(error, LineError::Members),
        other => panic!("{other:?}"),
    }
}
