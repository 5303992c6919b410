//! A reader of tags, strict as one of XML: enough to know that a page has no loose end.

/// A tag that opens, as found.
#[derive(Debug)]
pub(super) struct Element {
    /// Its name.
    pub(super) name: String,
    /// Its attributes with their values as written.
    pub(super) attributes: Vec<(String, String)>,
}

enum Piece<'a> {
    Text(&'a str),
    Open(Element, bool),
    Close(&'a str),
}

/// Whether every tag is closed in order, every attribute quoted and given once, and every `&` an entity.
pub(super) fn check(page: &str) -> Result<(), String> {
    let mut open: Vec<String> = Vec::new();
    read(page, |piece| {
        match piece {
            Piece::Text(text) => {
                if open
                    .last()
                    .is_none_or(|name| name != "style" && name != "script")
                {
                    entities(text)?;
                }
            }
            Piece::Open(element, closed) => {
                for (index, (name, value)) in element.attributes.iter().enumerate() {
                    entities(value)?;
                    if element.attributes[..index]
                        .iter()
                        .any(|(other, _)| other == name)
                    {
                        return Err(format!("<{}> has {name} twice", element.name));
                    }
                }
                if !closed {
                    open.push(element.name);
                }
            }
            Piece::Close(name) => match open.pop() {
                Some(opened) if opened == name => {}
                opened => return Err(format!("</{name}> closes {opened:?}")),
            },
        }
        Ok(())
    })?;
    if open.is_empty() {
        Ok(())
    } else {
        Err(format!("never closed: {open:?}"))
    }
}

/// Every tag that opens.
pub(super) fn elements(page: &str) -> Vec<Element> {
    let mut found = Vec::new();
    let read = read(page, |piece| {
        if let Piece::Open(element, _) = piece {
            found.push(element);
        }
        Ok(())
    });
    read.expect("a page that can be read");
    found
}

/// Every text between tags.
pub(super) fn texts(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut code = false;
    let read = read(page, |piece| {
        match piece {
            Piece::Open(element, _) => code = ["style", "script"].contains(&element.name.as_str()),
            Piece::Close(_) => code = false,
            Piece::Text(text) if !code => found.push(text.to_owned()),
            Piece::Text(_) => {}
        }
        Ok(())
    });
    read.expect("a page that can be read");
    found
}

fn read<'a>(
    page: &'a str,
    mut take: impl FnMut(Piece<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").ok_or("no doctype")?;
    while let Some(start) = rest.find('<') {
        take(Piece::Text(&rest[..start]))?;
        let end = rest[start..].find('>').ok_or("a tag without an end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            take(Piece::Close(name))?;
        } else {
            let (element, closed) = element(tag)?;
            take(Piece::Open(element, closed))?;
        }
    }
    take(Piece::Text(rest))
}

fn element(tag: &str) -> Result<(Element, bool), String> {
    let (tag, closed) = tag
        .strip_suffix('/')
        .map_or((tag, false), |tag| (tag, true));
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("<{name}> is no name"));
    }
    let mut attributes = Vec::new();
    while !rest.trim().is_empty() {
        let (key, after) = rest
            .trim_start()
            .split_once("=\"")
            .ok_or_else(|| format!("<{tag}>: {rest}"))?;
        let (value, after) = after
            .split_once('"')
            .ok_or_else(|| format!("<{tag}>: no end quote"))?;
        if key.is_empty()
            || !key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-:".contains(&byte))
        {
            return Err(format!("<{tag}>: {key} is no attribute"));
        }
        attributes.push((key.to_owned(), value.to_owned()));
        rest = after;
    }
    Ok((
        Element {
            name: name.to_owned(),
            attributes,
        },
        closed,
    ))
}

fn entities(text: &str) -> Result<(), String> {
    for rest in text.split('&').skip(1) {
        let name = rest.split_once(';').map(|(name, _)| name);
        if !name.is_some_and(|name| ["amp", "lt", "gt", "quot", "#39"].contains(&name)) {
            return Err(format!("a loose & in {text}"));
        }
    }
    if text
        .chars()
        .any(|character| character.is_control() && character != '\n')
    {
        return Err(format!("a control character in {text:?}"));
    }
    Ok(())
}

#[test]
fn loose_ends_are_found() {
    for bad in [
        "<!DOCTYPE html><p>",
        "<!DOCTYPE html><p><b></p></b>",
        "<!DOCTYPE html><p>a & b</p>",
        "<!DOCTYPE html><p class=a></p>",
        "<!DOCTYPE html><p class=\"a\" class=\"b\"></p>",
        "<!DOCTYPE html></p>",
        "<p></p>",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
    assert_eq!(
        check("<!DOCTYPE html><p class=\"a\">a &amp; b<br/></p>"),
        Ok(())
    );
}
